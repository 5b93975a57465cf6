//! Runs a command with its output on a terminal, and returns what the terminal receives.

use std::process::Command;

/// Runs its arguments with a terminal as standard output and error, and copies what that receives to its own output.
const ON_A_TERMINAL: &str = "import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:
        break
    if not data:
        break
    os.write(1, data)
os.waitpid(pid, 0)";

/// What a terminal receives from a command.
pub fn sent(command: &Command) -> Vec<u8> {
    let mut python = Command::new("python3");
    python.args(["-c", ON_A_TERMINAL]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => python.env(key, value),
            None => python.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        python.current_dir(dir);
    }
    python.env("TERM", "xterm").output().expect("python3 runs").stdout
}

/// The first part that a terminal would obey: an operating system command, an 8-bit control character, a bell, a
/// bidirectional control, or with `is_plain` any control character except in bold text and line ends.
pub fn obeyed(sent: &[u8], is_plain: bool) -> Option<String> {
    let text = String::from_utf8_lossy(sent).replace("\r\n", "\n").replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
    let is_bad = |at: usize, c: char| {
        let rest = &text[at..];
        let is_turn = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let is_eight_bit = matches!(c, '\u{7f}'..='\u{9f}');
        let is_command =
            ["\u{1b}]", "\u{1b}P", "\u{1b}_", "\u{1b}^", "\u{1b}c", "\u{1b}[6n"].iter().any(|s| rest.starts_with(s));
        is_turn || is_eight_bit || is_command || c == '\u{7}' || (is_plain && c.is_control() && c != '\n' && c != '\t')
    };
    let found = text.char_indices().find(|(at, c)| is_bad(*at, *c))?;
    let around: String = text[found.0..].chars().take(40).collect();
    Some(format!("{around:?}"))
}
