//! Which machine this is: local files belong to the machine that registered them.

/// The machine's host name.
pub fn name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
