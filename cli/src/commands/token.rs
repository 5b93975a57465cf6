//! `token new`: creates a token for a client and its hash for the server.

use serde_json::json;
use shared::config::TokenHash;
use shared::core::{Role, Sha256};

use crate::args::Token;
use crate::failure::{CliError, Exit};
use crate::out;

/// The token is not stored.
pub fn run(token: &Token, json: bool) -> Result<Exit, CliError> {
    let Token::New { name, role } = token;
    if let Some(name) = name.as_deref().filter(|name| !TokenHash::is_id(name)) {
        return Err(CliError::usage(format!(
            "{name:?} is not a valid name: use 1 to 64 letters, digits, '-', '_', '.' and '@'; local, topics \
             and projections are reserved"
        )));
    }
    // Two random ids: 244 random bits.
    let token = format!("bio-mcp_{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let hash = Sha256::of(token.as_bytes()).to_hex();
    let setting = match (name, role) {
        (Some(name), role) => format!("{name}:{role}={hash}"),
        (None, Role::Submit) => hash.clone(),
        (None, role) => format!("{}:{role}={hash}", &hash[..8]),
    };
    if json {
        out::json(&json!({ "token": token, "hash": hash, "role": role, "setting": setting }))?;
        return Ok(Exit::Done);
    }
    out::line(&format!("token  {token}"))?;
    out::line(&format!("hash   {hash}"))?;
    out::note("The client sends the token in the header `Authorization: Bearer`; it is not stored anywhere.");
    out::note(format_args!("Start the server with BIO_MCP_AUTH_TOKENS={setting}"));
    Ok(Exit::Done)
}
