//! Permits for concurrent requests; no principal gets more than half of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::core::{Principal, Role};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Number of permits that each principal holds.
type Taken = Arc<Mutex<HashMap<String, usize>>>;

/// A limited number of permits.
#[derive(Clone, Debug)]
pub struct Permits {
    all: Arc<Semaphore>,
    taken: Taken,
    /// Maximum number of permits of one principal.
    share: usize,
}

/// Why no permit was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPermit {
    /// All are taken.
    Full,
    /// The principal holds its maximum share.
    Share,
}

/// A permit; released when dropped.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
    /// The principal that holds it, and the counters.
    of: Option<(Taken, String)>,
}

impl Permits {
    /// `count` permits; a principal gets at most half of them, rounded up, or all if principals are not distinguished.
    pub fn new(count: usize, are_shared: bool) -> Self {
        let share = if are_shared { count.div_ceil(2) } else { count };
        Self { all: Arc::new(Semaphore::new(count)), taken: Arc::default(), share }
    }

    /// Acquires a permit for a request of a principal. Admins have no share limit.
    pub fn acquire(&self, principal: &Principal) -> Result<Permit, NoPermit> {
        let permit = self.all.clone().try_acquire_owned().map_err(|_| NoPermit::Full)?;
        if principal.role >= Role::Admin {
            return Ok(Permit { _permit: permit, of: None });
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(principal.name.clone()).or_default();
        if *count >= self.share {
            return Err(NoPermit::Share);
        }
        *count += 1;
        Ok(Permit { _permit: permit, of: Some((self.taken.clone(), principal.name.clone())) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some((taken, name)) = self.of.take() else { return };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&name) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(name: &str, role: Role) -> Principal {
        Principal { name: name.to_owned(), role }
    }

    #[test]
    fn one_principal_leaves_half_of_the_permits() {
        let permits = Permits::new(4, true);
        let (a, b, admin) = (principal("a", Role::Submit), principal("b", Role::Read), principal("c", Role::Admin));
        let held = [permits.acquire(&a).expect("the first"), permits.acquire(&a).expect("the second")];
        assert_eq!(permits.acquire(&a).expect_err("its share"), NoPermit::Share);
        let other = permits.acquire(&b).expect("a place is left");
        let last = permits.acquire(&admin).expect("so is one more");
        assert_eq!(permits.acquire(&b).expect_err("all are taken"), NoPermit::Full);
        drop((held, other, last));
        assert!(permits.taken.lock().expect("no panic").is_empty(), "nothing is kept of who has gone");
        permits.acquire(&a).expect("they are given back");
    }

    #[test]
    fn where_principals_are_not_told_apart_one_may_take_all() {
        let permits = Permits::new(2, false);
        let local = principal("local", Role::Submit);
        let _held = [permits.acquire(&local).expect("one"), permits.acquire(&local).expect("two")];
        assert_eq!(permits.acquire(&local).expect_err("all are taken"), NoPermit::Full);
    }
}
