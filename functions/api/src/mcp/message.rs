//! Checks that a body is a JSON-RPC message with the parameters of its method. The rmcp library treats unreadable
//! messages as unknown methods, or sends no response; so they are checked before it.
//!
//! rmcp ignores such messages on purpose (modelcontextprotocol/rust-sdk#938, #940: peers could return errors for each
//! other's errors without end), so this check stays as long as JSON-RPC errors must be returned.

use rmcp::model::{
    CallToolRequestParams, CancelTaskParams, CustomRequest, GetTaskParams, InitializeRequestParams,
    PaginatedRequestParams, ReadResourceRequestParams, UpdateTaskParams,
};
use serde_json::{Map, Value, json};

/// The body is not JSON.
pub const PARSE_ERROR: i32 = -32700;
/// The body is not a JSON-RPC message.
pub const INVALID_REQUEST: i32 = -32600;
/// The parameters are invalid for the method.
pub const INVALID_PARAMS: i32 = -32602;

/// A message that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Null if the message has no usable id.
    pub id: Value,
    /// JSON-RPC error code.
    pub code: i32,
    pub message: String,
    /// Whether the error is in `_meta`, which belongs to the transport rather than to the method.
    pub in_metadata: bool,
}

impl Refused {
    /// Refuses a body that is not a message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { id: Value::Null, code: INVALID_REQUEST, message: message.into(), in_metadata: false }
    }

    /// The JSON-RPC error response.
    pub fn response(&self) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.id, "error": { "code": self.code, "message": self.message } })
    }
}

/// Type of a parameter.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Object,
    /// A string or a number.
    Token,
}

impl Type {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Object => value.is_object(),
            Self::Token => value.is_string() || value.is_number(),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Object => "an object",
            Self::Token => "a string or a number",
        }
    }
}

/// A parameter: its path in `params`, its type, and whether it is required.
type Param = (&'static [&'static str], Type, bool);

const PAGE: &[Param] = &[(&["cursor"], Type::Text, false)];
const TASK: &[Param] = &[(&["taskId"], Type::Text, true)];

/// The methods of this server with their parameters, in addition to [`COMMON`].
const METHODS: [(&str, &[Param]); 11] = [
    (
        "initialize",
        &[
            (&["protocolVersion"], Type::Text, true),
            (&["capabilities"], Type::Object, true),
            (&["clientInfo"], Type::Object, true),
            (&["clientInfo", "name"], Type::Text, true),
            (&["clientInfo", "version"], Type::Text, true),
        ],
    ),
    ("server/discover", &[]),
    ("ping", &[]),
    ("tools/list", PAGE),
    ("tools/call", &[(&["name"], Type::Text, true), (&["arguments"], Type::Object, false)]),
    ("resources/list", PAGE),
    ("resources/templates/list", PAGE),
    ("resources/read", &[(&["uri"], Type::Text, true)]),
    ("tasks/get", TASK),
    ("tasks/update", &[(&["taskId"], Type::Text, true), (&["inputResponses"], Type::Object, true)]),
    ("tasks/cancel", TASK),
];

/// Metadata key with which requests since 2026-07-28 name their protocol revision.
const REVISION: &str = "io.modelcontextprotocol/protocolVersion";

/// Parameters of every request.
const COMMON: [Param; 2] = [(&["_meta"], Type::Object, false), (&["_meta", "progressToken"], Type::Token, false)];

/// Parses one message. A notification is never refused for its parameters, because it gets no response.
pub fn read(bytes: &[u8]) -> Result<Value, Refused> {
    let message: Value = serde_json::from_slice(bytes).map_err(|error| {
        let message = format!("not valid JSON at line {}, column {}", error.line(), error.column());
        Refused { code: PARSE_ERROR, ..Refused::invalid(message) }
    })?;
    let fields = match &message {
        Value::Object(fields) => fields,
        Value::Array(_) => return Err(Refused::invalid("send one message at a time: batches are not supported")),
        _ => return Err(Refused::invalid("a message must be a JSON object")),
    };
    let invalid = |message: &str| {
        let id = fields.get("id").filter(|id| is_id(id)).cloned().unwrap_or(Value::Null);
        Err(Refused { id, ..Refused::invalid(message) })
    };
    if fields.get("jsonrpc").is_none_or(|version| version != "2.0") {
        return invalid("jsonrpc must be \"2.0\"");
    }
    if fields.get("id").is_some_and(|id| !is_id(id)) && !is_response(&message) {
        return invalid("id must be a string or an integer");
    }
    if fields.get("method").is_some_and(|method| !method.is_string()) {
        return invalid("method must be a string");
    }
    if let (Some(method), Some(id)) = (fields.get("method").and_then(Value::as_str), fields.get("id")) {
        let refused = |(message, in_metadata)| Refused { id: id.clone(), code: INVALID_PARAMS, message, in_metadata };
        check_params(method, fields.get("params")).map_err(refused)?;
    }
    Ok(message)
}

/// Whether a message is a response to a request of the server.
pub fn is_response(message: &Value) -> bool {
    message.get("method").is_none() && (message.get("result").is_some() || message.get("error").is_some())
}

fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_i64() || id.is_u64()
}

/// The error in the parameters of a method of this server, and whether it is in `_meta`.
fn check_params(method: &str, params: Option<&Value>) -> Result<(), (String, bool)> {
    let Some((_, expected)) = METHODS.iter().find(|(name, _)| *name == method) else { return Ok(()) };
    let empty = Map::new();
    let params = match params {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(params)) => params,
        Some(_) => return Err(("params must be an object".to_owned(), false)),
    };
    // The newest revision has no handshake: the library treats `initialize` with this key as an unknown method.
    let names_revision = params.get("_meta").is_some_and(|meta| meta.get(REVISION).is_some());
    let expected: &[Param] = if method == "initialize" && names_revision { &[] } else { expected };
    for (path, kind, is_required) in COMMON.iter().chain(expected) {
        let Some((first, rest)) = path.split_first() else { continue };
        let found = rest.iter().fold(params.get(*first), |value, name| value?.get(*name));
        let wrong = match found.filter(|value| !value.is_null()) {
            None if *is_required => "is required and must be",
            Some(value) if !kind.fits(value) => "must be",
            _ => continue,
        };
        return Err((format!("params.{} {wrong} {}", path.join("."), kind.as_str()), *first == "_meta"));
    }
    Ok(())
}

/// The error of a request of a known method that the library could not parse; none for an unknown method.
pub fn unreadable(request: &CustomRequest) -> Option<String> {
    METHODS.iter().find(|(name, _)| *name == request.method)?;
    let error = match request.method.as_str() {
        "initialize" => request.params_as::<InitializeRequestParams>().err(),
        "tools/list" | "resources/list" | "resources/templates/list" => {
            request.params_as::<PaginatedRequestParams>().err()
        }
        "tools/call" => request.params_as::<CallToolRequestParams>().err(),
        "resources/read" => request.params_as::<ReadResourceRequestParams>().err(),
        "tasks/get" => request.params_as::<GetTaskParams>().err(),
        "tasks/update" => request.params_as::<UpdateTaskParams>().err(),
        "tasks/cancel" => request.params_as::<CancelTaskParams>().err(),
        _ => None,
    };
    let reason =
        error.map_or_else(|| "a field of the request has the wrong type".to_owned(), |error| error.to_string());
    Some(format!("params of {} are not valid: {reason}", request.method))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &Value) -> (Value, i32, String) {
        let refused = read(message.to_string().as_bytes()).expect_err(&message.to_string());
        (refused.id, refused.code, refused.message)
    }

    #[test]
    fn parameters_of_another_type_are_named() {
        let request =
            |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        for (method, params, said) in [
            ("tools/call", json!([]), "params must be an object"),
            ("tools/call", json!({}), "params.name is required and must be a string"),
            ("tools/call", json!({ "name": 7 }), "params.name must be a string"),
            ("tools/call", json!({ "name": "ping", "arguments": "x" }), "params.arguments must be an object"),
            ("tools/call", json!({ "name": "ping", "_meta": 1 }), "params._meta must be an object"),
            ("tools/list", json!({ "cursor": 1 }), "params.cursor must be a string"),
            ("resources/read", json!({ "uri": null }), "params.uri is required and must be a string"),
            ("tasks/get", json!({ "taskId": {} }), "params.taskId must be a string"),
            ("initialize", json!({}), "params.protocolVersion is required and must be a string"),
            (
                "initialize",
                json!({ "protocolVersion": "x", "capabilities": {}, "clientInfo": { "name": "a" } }),
                "params.clientInfo.version is required and must be a string",
            ),
            (
                "ping",
                json!({ "_meta": { "progressToken": [] } }),
                "params._meta.progressToken must be a string or a number",
            ),
        ] {
            assert_eq!(refused(&request(method, params)), (json!(1), INVALID_PARAMS, said.to_owned()), "{method}");
        }
        for fine in [
            request("tools/call", json!({ "name": "ping", "arguments": null })),
            request("no/method", json!([])),
            json!({ "jsonrpc": "2.0", "method": "tools/call", "params": [] }),
            json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/list" }),
            json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": "no" } }),
        ] {
            assert_eq!(read(fine.to_string().as_bytes()), Ok(fine));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(read(b"{").expect_err("no JSON").code, PARSE_ERROR);
        assert_eq!(read(b"\xff").expect_err("no text").code, PARSE_ERROR);
        for bad in [
            json!([]),
            json!(7),
            json!({ "id": 1, "method": "ping" }),
            json!({ "jsonrpc": "2.0", "id": {}, "method": "ping" }),
            json!({ "jsonrpc": "2.0", "id": null, "method": "ping" }),
            json!({ "jsonrpc": "2.0", "id": 1.5, "method": "ping" }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": 7 }),
        ] {
            assert_eq!(refused(&bad).1, INVALID_REQUEST, "{bad}");
        }
    }
}
