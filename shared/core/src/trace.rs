//! The trace of the current task: one id from the request through queue and worker to NCBI, in the format of [W3C Trace
//! Context](https://www.w3.org/TR/trace-context/).

tokio::task_local! {
    static CURRENT: String;
}

/// Runs a future as part of a trace. Tasks that it spawns do not inherit the trace.
pub async fn within<F: Future>(trace_id: String, future: F) -> F::Output {
    CURRENT.scope(trace_id, future).await
}

/// The trace id of the current task.
pub fn current() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// A new trace id: 32 hex digits.
pub fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The `traceparent` to send on, with [`first_span`] as the parent; none if the id is not a valid trace id.
pub fn traceparent(trace_id: &str) -> Option<String> {
    is_trace(trace_id).then(|| format!("00-{trace_id}-{}-01", first_span(trace_id)))
}

/// The root span of a trace, as 16 hex digits: derived from the trace id, so that only the id has to be passed on.
pub fn first_span(trace_id: &str) -> &str {
    trace_id.get(16..).unwrap_or_default()
}

/// Whether an id is 32 hex digits that are valid as a trace id and contain a valid first span.
pub fn is_trace(trace_id: &str) -> bool {
    is_hex(trace_id, 32) && first_span(trace_id).bytes().any(|b| b != b'0')
}

/// The trace id of a `traceparent`, if it is a valid one.
///
/// ```
/// use bio_mcp_core::trace;
///
/// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// assert_eq!(trace::parse(header).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
/// assert_eq!(trace::parse("not a traceparent"), None);
/// ```
pub fn parse(traceparent: &str) -> Option<String> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let fine = is_hex(version, 2) && version != "ff" && is_hex(span, 16) && is_hex(flags, 2) && is_hex(trace, 32);
    let is_there = trace.bytes().any(|b| b != b'0') && span.bytes().any(|b| b != b'0');
    (fine && is_there && (version != "00" || parts.next().is_none())).then(|| trace.to_owned())
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn only_a_valid_traceparent_is_taken() {
        assert_eq!(parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").as_deref(), Some(TRACE));
        assert_eq!(parse(&traceparent(TRACE).expect("a trace")).as_deref(), Some(TRACE), "what is sent is taken");
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "x",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for bad in ["", "é", "0af7651916cd43dd", "0af7651916cd43dd0000000000000000"] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn work_knows_its_trace_and_no_other() {
        assert_eq!(current(), None);
        let inside = within(TRACE.to_owned(), async { (current(), within("b".repeat(32), async { current() }).await) });
        assert_eq!(inside.await, (Some(TRACE.to_owned()), Some("b".repeat(32))));
        assert_eq!(current(), None);
    }
}
