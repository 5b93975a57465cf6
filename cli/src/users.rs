//! Users and groups of this machine, from /etc/passwd and /etc/group.

use std::fs;
use std::path::PathBuf;

const PASSWD: &str = "/etc/passwd";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
    pub home: PathBuf,
}

/// The effective user id of this process.
pub fn caller() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether root runs this program.
pub fn is_root() -> bool {
    caller() == 0
}

pub fn by_id(uid: u32) -> Option<User> {
    all().into_iter().find(|user| user.uid == uid)
}

pub fn by_name(name: &str) -> Option<User> {
    all().into_iter().find(|user| user.name == name)
}

/// A user id for messages: with the user name if it is known.
pub fn label(uid: u32) -> String {
    by_id(uid).map_or_else(|| format!("uid {uid}"), |user| format!("{}, uid {uid}", user.name))
}

/// Whether a group is the caller's own: its primary group, without other members. Many systems give every user such a
/// group, and a umask that lets it write.
pub fn is_private_group(gid: u32) -> bool {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    is_private(&all(), &groups, caller(), gid)
}

fn is_private(users: &[User], groups: &str, caller: u32, gid: u32) -> bool {
    let mut of_group = users.iter().filter(|user| user.gid == gid);
    let Some(own) = of_group.next().filter(|user| user.uid == caller) else { return false };
    let mut lines = groups.lines().filter(|line| line.split(':').nth(2) == Some(gid.to_string().as_str()));
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let mut members = line.split(':').nth(3).unwrap_or_default().split(',').map(str::trim).filter(|m| !m.is_empty());
    of_group.next().is_none() && members.all(|member| member == own.name)
}

fn all() -> Vec<User> {
    users(&fs::read_to_string(PASSWD).unwrap_or_default())
}

fn users(passwd: &str) -> Vec<User> {
    let user = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
        Some(User { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.into() })
    };
    passwd.lines().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_private_when_it_has_one_user() {
        let users = users(
            "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n\
             carl:x:1002:1001::/home/carl:/bin/sh\nbroken\n",
        );
        assert_eq!(users.len(), 4);
        let groups = "root:x:0:\nann:x:1000:\nbob:x:1001:\nstaff:x:50:ann\n";
        assert!(is_private(&users, groups, 1000, 1000));
        assert!(is_private(&users, "ann:x:1000:ann\n", 1000, 1000));
        assert!(!is_private(&users, "ann:x:1000:ann,bob\n", 1000, 1000), "it has another member");
        assert!(!is_private(&users, groups, 1001, 1001), "it is the first group of two users");
        assert!(!is_private(&users, groups, 1000, 50), "it is not the first group of the caller");
        assert!(!is_private(&users, groups, 1000, 1001), "it is the group of another user");
        assert!(!is_private(&users, "", 1000, 1000), "it is not known");
    }
}
