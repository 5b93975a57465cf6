//! The role that programs log in as: it reads and writes rows, and is not an owner. Only migrations log in as the
//! owner.

mod open;

use serde::Deserialize;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::session::SESSION;
use super::{DbError, OptionsError, patient, version};
use bio_mcp_core::Secret;

pub use open::{PreparedDatabase, connect_as, prepare};

/// Version of `grant.sql` and of the settings that are granted with it: a role with an older version is granted again,
/// one with a newer version is left unchanged.
const RULES: i32 = 1;

/// A role; without a password if access to the server is protected otherwise.
#[derive(Clone)]
pub struct DatabaseRole {
    username: String,
    password: Option<Secret>,
}

impl DatabaseRole {
    /// The role of a server that only its own user can reach, through a socket in a directory of mode 0700: a password
    /// would be stored next to the server's files, readable by exactly the users that can reach the socket.
    pub fn of_private_server() -> Self {
        Self { username: "bio_mcp".to_owned(), password: None }
    }

    /// Parses the JSON of a secret, in the format of Secrets Manager.
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
        Ok(Self { username, password: Some(Secret::new(written.password)) })
    }

    pub fn name(&self) -> &str {
        &self.username
    }

    /// Connection options of the same database with this role.
    pub fn log_in(&self, options: PgConnectOptions) -> PgConnectOptions {
        let options = options.username(&self.username);
        match &self.password {
            Some(password) => options.password(password.expose()),
            None => options,
        }
    }
}

/// Creates the role if it does not exist, with this password and the settings of a session, and grants it to read and
/// write the rows of every existing table; the caller must own them. Fails, and changes nothing, if the role has
/// further privileges.
pub async fn grant(pool: &PgPool, role: &DatabaseRole) -> Result<(), DbError> {
    // Read before the grant: tables of later versions are granted the next time.
    let version = version(pool).await?;
    // Another program may be migrating, which may take long.
    let mut connection = patient(pool).await?;
    let mut transaction = connection.begin().await?;
    // Concurrent grants would conflict.
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('bio-mcp grant', 0))")
        .execute(&mut *transaction)
        .await?;
    // Passed as settings of the transaction, so that no statement contains the password: statements are logged.
    sqlx::query("select set_config('bio_mcp.role', $1, true), set_config('bio_mcp.password', $2, true)")
        .bind(&role.username)
        .bind(role.password.as_ref().map_or("", Secret::expose))
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(include_str!("grant.sql")).execute(&mut *transaction).await?;
    if role.password.is_none() {
        // The role does not need the other databases of a private server.
        let others = "revoke connect, temporary on database postgres, template1 from public";
        sqlx::raw_sql(others).execute(&mut *transaction).await?;
    }
    for (name, value) in SESSION {
        // Neither can be a bind parameter; both are constants of the program.
        let sql = format!(
            "do $$ begin execute format('alter role %I in database %I set {name} = ''{value}''', \
             current_setting('bio_mcp.role'), current_database()); end $$"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    }
    let powers: String =
        sqlx::query_scalar(include_str!("powers.sql")).bind(&role.username).fetch_one(&mut *transaction).await?;
    if !powers.is_empty() {
        return Err(DbError::PowerfulRole { role: role.username.clone(), powers });
    }
    let noted = "insert into program_roles (role_name, rules, schema_version) values ($1, $2, $3) \
                 on conflict (role_name) do update set rules = excluded.rules, schema_version = excluded.schema_version";
    sqlx::query(noted).bind(&role.username).bind(RULES).bind(version).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bio_mcp_core::Sha256;

    #[test]
    fn rules_that_changed_have_another_number() {
        let text = format!("{}{}{SESSION:?}", include_str!("grant.sql"), include_str!("powers.sql"));
        let known = (1, "ab17d58d4674d529");
        assert_eq!((RULES, Sha256::of(text.as_bytes()).to_hex().get(..16).unwrap_or_default()), known);
    }

    #[test]
    fn only_plain_names_are_roles() {
        let of = |name: &str, password: &str| {
            let json = serde_json::json!({ "username": name, "password": password });
            DatabaseRole::parse(&Secret::new(json.to_string())).is_ok()
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
        assert!(DatabaseRole::parse(&Secret::new("hunter2")).is_err());
    }
}
