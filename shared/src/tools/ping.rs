//! `ping`: whether the server responds.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ToolError;
use super::tool::{Annotations, FastTool, ToolSpec, Toolbox};
use crate::core::Caller;

pub struct Ping;

/// Parameters of `ping`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PingParams {
    /// The message to return.
    #[serde(default = "pong")]
    #[schemars(length(max = 1000))]
    message: String,
}

/// The echo.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PingOutput {
    /// The message that was sent.
    message: String,
    /// The version of this program.
    version: &'static str,
}

fn pong() -> String {
    "pong".to_owned()
}

impl ToolSpec for Ping {
    const NAME: &'static str = "ping";
    const TITLE: &'static str = "Ping";
    const DESCRIPTION: &'static str = "Returns the given message and the server's version.";
    const ANNOTATIONS: Annotations = Annotations::READS;
    const NEEDS_DATABASE: bool = false;
    type Params = PingParams;
    type Output = PingOutput;
}

#[async_trait]
impl FastTool for Ping {
    async fn run(_: &Toolbox, _: &Caller, params: PingParams) -> Result<PingOutput, ToolError> {
        Ok(PingOutput { message: params.message, version: env!("CARGO_PKG_VERSION") })
    }
}
