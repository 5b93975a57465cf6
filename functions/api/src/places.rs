//! Places among requests in flight, of which no principal gets more than half while others may come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::words::{Principal, Role};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places that each principal has.
type Taken = Arc<Mutex<HashMap<String, usize>>>;

/// So many places.
#[derive(Clone, Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    /// How many each principal has.
    taken: Taken,
    /// How many one principal may have.
    share: usize,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken.
    Full,
    /// The principal has its share.
    Share,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    /// Whose share it is of.
    of: Option<(Taken, String)>,
}

impl Places {
    /// So many; a principal has at most half of them, rounded up, or all where principals are not told apart.
    pub fn new(count: usize, are_shared: bool) -> Self {
        let share = if are_shared { count.div_ceil(2) } else { count };
        Self { all: Arc::new(Semaphore::new(count)), taken: Arc::default(), share }
    }

    /// A place for a request of a principal. Admins take what is free.
    pub fn take(&self, principal: &Principal) -> Result<Place, NoPlace> {
        let permit = self.all.clone().try_acquire_owned().map_err(|_| NoPlace::Full)?;
        if principal.role >= Role::Admin {
            return Ok(Place { _permit: permit, of: None });
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(principal.name.clone()).or_default();
        if *count >= self.share {
            return Err(NoPlace::Share);
        }
        *count += 1;
        Ok(Place { _permit: permit, of: Some((self.taken.clone(), principal.name.clone())) })
    }
}

impl Drop for Place {
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
    fn one_principal_leaves_half_of_the_places() {
        let places = Places::new(4, true);
        let (a, b, admin) = (principal("a", Role::Submit), principal("b", Role::Read), principal("c", Role::Admin));
        let held = [places.take(&a).expect("the first"), places.take(&a).expect("the second")];
        assert_eq!(places.take(&a).expect_err("its share"), NoPlace::Share);
        let other = places.take(&b).expect("a place is left");
        let last = places.take(&admin).expect("so is one more");
        assert_eq!(places.take(&b).expect_err("all are taken"), NoPlace::Full);
        drop((held, other, last));
        assert!(places.taken.lock().expect("no panic").is_empty(), "nothing is kept of who has gone");
        places.take(&a).expect("they are given back");
    }

    #[test]
    fn where_principals_are_not_told_apart_one_may_take_all() {
        let places = Places::new(2, false);
        let local = principal("local", Role::Submit);
        let _held = [places.take(&local).expect("one"), places.take(&local).expect("two")];
        assert_eq!(places.take(&local).expect_err("all are taken"), NoPlace::Full);
    }
}
