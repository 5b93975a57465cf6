//! The history server: keeps search results for later requests of a client, for a while.

use std::collections::HashMap;

/// Searches of each client, by `query_key` from 1.
#[derive(Debug, Default)]
pub struct History {
    sessions: HashMap<String, Vec<Vec<u32>>>,
    made: u64,
}

impl History {
    /// Stores results, in an existing session or a new one; returns `(WebEnv, query_key)`.
    pub fn keep(&mut self, web_env: Option<&str>, pmids: Vec<u32>) -> (String, usize) {
        let web_env = match web_env {
            Some(known) if self.sessions.contains_key(known) => known.to_owned(),
            _ => {
                self.made += 1;
                format!("MCID_{:024x}", crate::mix(self.made))
            }
        };
        let sets = self.sessions.entry(web_env.clone()).or_default();
        sets.push(pmids);
        (web_env, sets.len())
    }

    /// Results that were stored before.
    pub fn read(&self, web_env: &str, query_key: &str) -> Option<&[u32]> {
        let key: usize = query_key.parse().ok()?;
        self.sessions.get(web_env)?.get(key.checked_sub(1)?).map(Vec::as_slice)
    }
}
