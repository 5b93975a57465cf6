//! Which credentials are accepted, and the role that each gives.

use serde_json::{Map, Value};

use crate::core::access::{LOCAL, PROJECTIONS, Role, TOPICS};
use crate::core::sha256::Sha256;

/// Principals that hold no token: a token with such a name would be mistaken for them.
pub const RESERVED: [&str; 3] = [LOCAL, TOPICS, PROJECTIONS];

/// An accepted token, by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHash {
    /// Name of the principal; by default, the start of the hash.
    pub id: String,
    pub role: Role,
    /// SHA-256 of the token.
    pub hash: Sha256,
}

impl TokenHash {
    /// Whether a text is valid as the name of a token's principal.
    pub fn is_id(id: &str) -> bool {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
        (1..=64).contains(&id.len()) && id.bytes().all(fine) && !RESERVED.contains(&id)
    }

    /// Hashes separated by commas, each alone, as `name=hash` or as `name:role=hash`; none if one is invalid.
    pub fn parse_all(text: &str) -> Option<Vec<Self>> {
        text.split(',').map(|one| Self::parse(one.trim())).collect()
    }

    /// `name:role=hash`, `name=hash`, or a hash alone; the default role is `submit`.
    fn parse(text: &str) -> Option<Self> {
        let Some((named, hash)) = text.split_once('=') else {
            let hash = Sha256::parse(text).ok()?;
            return Some(Self { id: text.get(..8)?.to_owned(), role: Role::Submit, hash });
        };
        let (id, role) = match named.split_once(':') {
            Some((id, role)) => (id, Role::parse(role.trim())?),
            None => (named, Role::Submit),
        };
        let (id, hash) = (id.trim(), Sha256::parse(hash.trim()).ok()?);
        Self::is_id(id).then(|| Self { id: id.to_owned(), role, hash })
    }
}

/// A claim of OIDC tokens that gives a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRule {
    pub role: Role,
    /// Name of the claim, at the top level of the token.
    pub claim: String,
    /// Value of the claim, an item of its list, or one of the words of `scope` and `scp`.
    pub value: String,
}

impl RoleRule {
    /// `role:claim=value`; the name of a claim may contain colons, as `cognito:groups` does.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (role, rest) = text.split_once(':')?;
        let (claim, value) = rest.split_once('=')?;
        let (claim, value) = (claim.trim(), value.trim());
        let role = Role::parse(role.trim())?;
        let is_whole = !claim.is_empty() && !value.is_empty();
        is_whole.then(|| Self { role, claim: claim.to_owned(), value: value.to_owned() })
    }

    /// Whether the claims of a token match.
    pub fn applies(&self, claims: &Map<String, Value>) -> bool {
        let is_words = matches!(self.claim.as_str(), "scope" | "scp");
        let has = |text: &str| text == self.value || (is_words && text.split(' ').any(|word| word == self.value));
        match claims.get(&self.claim) {
            Some(Value::String(text)) => has(text),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).any(has),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_have_the_role_that_is_written_beside_them() {
        let hash = Sha256::of(b"a").to_hex();
        let role = |text: String| TokenHash::parse_all(&text).map(|all| all[0].role);
        assert_eq!(role(hash.clone()), Some(Role::Submit));
        assert_eq!(role(format!("a={hash}")), Some(Role::Submit));
        for (name, expected) in [("read", Role::Read), ("submit", Role::Submit), ("admin", Role::Admin)] {
            assert_eq!(role(format!(" a:{name} = {hash}")), Some(expected));
        }
        for bad in ["a:root=", "a:=", ":admin=", "a:b:admin=", "local:admin=", "topics=", "=", "a:Admin="] {
            assert_eq!(role(format!("{bad}{hash}")), None, "{bad}");
        }
    }

    #[test]
    fn a_claim_gives_a_role_only_by_its_whole_value() {
        let claims = json!({
            "scope": "openid bio-mcp.read", "cognito:groups": ["librarians"], "sub": "bio-mcp.read x", "n": 1,
        });
        let applies =
            |rule: &str| RoleRule::parse(rule).expect("a rule").applies(claims.as_object().expect("an object"));
        assert!(applies("read:scope=bio-mcp.read") && applies("admin:cognito:groups=librarians"));
        for other in ["read:scope=bio-mcp", "read:sub=bio-mcp.read", "read:cognito:groups=librarian", "read:n=1"] {
            assert!(!applies(other), "{other}");
        }
        for bad in ["", "read", "read:scope", "read:=x", "read:scope=", "root:scope=x", "scope=x"] {
            assert_eq!(RoleRule::parse(bad), None, "{bad}");
        }
    }
}
