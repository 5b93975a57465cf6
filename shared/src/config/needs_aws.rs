//! Settings that name AWS resources: a program built without the feature `aws` cannot use them.

use super::reader::Reader;
use super::{ArchiveLocation, SECRETS};

/// Whether this program was built with the feature `aws`.
pub const HAS_AWS: bool = cfg!(feature = "aws");

/// This setting needs AWS, which this program was built without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} needs a build with the feature `aws`: cargo build --release --package bio-mcp --features aws")]
pub struct NeedsAws(pub String);

/// Reports every setting that needs AWS if this program was built without it.
pub(super) fn check<F: Fn(&str) -> Option<String>>(
    env: &mut Reader<F>,
    archive: Option<&ArchiveLocation>,
    has_aws: bool,
) {
    if has_aws {
        return;
    }
    let mut settings: Vec<String> =
        SECRETS.into_iter().map(|name| format!("{name}_SECRET_ARN")).filter(|name| env.text(name).is_some()).collect();
    if matches!(archive, Some(ArchiveLocation::Bucket(_))) {
        settings.push("BIO_MCP_ARCHIVE_BUCKET".to_owned());
    }
    for name in ["BIO_MCP_JOBS_QUEUE_URL", "BIO_MCP_LIMITS_TABLE"] {
        if env.text(name).is_some() {
            settings.push(name.to_owned());
        }
    }
    env.errors.extend(settings.into_iter().map(|setting| NeedsAws(setting).to_string()));
}
