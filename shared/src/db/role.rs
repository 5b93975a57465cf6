//! The role that functions log in as: it reads and writes rows, and owns nothing.

use serde::Deserialize;
use sqlx::PgPool;

use super::session::SESSION;
use super::{DbError, OptionsError, begin};
use crate::words::config::Secret;

/// A role with its password.
#[derive(Clone)]
pub struct Role {
    username: String,
    password: Secret,
}

impl Role {
    /// Reads the JSON of a secret, as Secrets Manager writes it.
    pub fn parse(secret: &Secret) -> Result<Self, OptionsError> {
        #[derive(Deserialize)]
        struct Written {
            username: String,
            password: String,
        }
        let written: Written = serde_json::from_str(secret.expose()).map_err(|_| OptionsError::Role)?;
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let username = written.username;
        let is_name = (1..=63).contains(&username.len())
            && username.bytes().all(fine)
            && !username.starts_with(|c: char| c.is_ascii_digit())
            && !username.starts_with("pg_");
        if !is_name || written.password.is_empty() {
            return Err(OptionsError::Role);
        }
        Ok(Self { username, password: Secret::new(written.password) })
    }
}

/// Makes the role where it is not there, with this password and the settings of a session, and lets it read and write
/// every table that there is now; who asks must own them.
pub async fn grant(pool: &PgPool, role: &Role) -> Result<(), DbError> {
    let mut transaction = begin(pool).await?;
    // Values of the transaction, so that no statement holds the password: statements are logged.
    sqlx::query("select set_config('bio_mcp.role', $1, true), set_config('bio_mcp.password', $2, true)")
        .bind(&role.username)
        .bind(role.password.expose())
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(include_str!("grant.sql")).execute(&mut *transaction).await?;
    for (name, value) in SESSION {
        // Neither can be a bind parameter; both are constants of the program.
        let sql = format!(
            "do $$ begin execute format('alter role %I in database %I set {name} = ''{value}''', \
             current_setting('bio_mcp.role'), current_database()); end $$"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_roles() {
        let of = |name: &str, password: &str| {
            let json = serde_json::json!({ "username": name, "password": password });
            Role::parse(&Secret::new(json.to_string())).is_ok()
        };
        assert!(of("bio_mcp_functions", "p/@'"));
        for (name, password) in [
            ("", "p"),
            ("Upper", "p"),
            ("a-b", "p"),
            ("pg_monitor", "p"),
            ("1a", "p"),
            ("a\" superuser", "p"),
            ("a", ""),
        ] {
            assert!(!of(name, password), "{name}");
        }
        assert!(Role::parse(&Secret::new("hunter2")).is_err());
    }
}
