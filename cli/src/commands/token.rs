//! `token new`: a token for a client and its hash for the server.

use serde_json::json;
use shared::words::Sha256;
use shared::words::config::TokenHash;

use crate::args::Token;
use crate::failure::{Exit, Failure};
use crate::out;

/// Runs the command; nothing is kept of the token.
pub fn run(token: &Token, json: bool) -> Result<Exit, Failure> {
    let Token::New { name } = token;
    if let Some(name) = name.as_deref().filter(|name| !TokenHash::is_id(name)) {
        return Err(Failure::usage(format!(
            "{name:?} cannot be a name: 1 to 64 letters, digits, '-', '_', '.' and '@'"
        )));
    }
    // Two random ids: 244 bits from the system.
    let token = format!("bio-mcp_{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let hash = Sha256::of(token.as_bytes()).to_hex();
    let setting = name.as_ref().map_or_else(|| hash.clone(), |name| format!("{name}={hash}"));
    if json {
        out::json(&json!({ "token": token, "hash": hash, "setting": setting }))?;
        return Ok(Exit::Done);
    }
    out::line(&format!("token  {token}"))?;
    out::line(&format!("hash   {hash}"))?;
    out::note("The client sends `Authorization: Bearer` and the token; it is not kept anywhere.");
    out::note(format_args!("The server is started with BIO_MCP_AUTH_TOKENS={setting}"));
    Ok(Exit::Done)
}
