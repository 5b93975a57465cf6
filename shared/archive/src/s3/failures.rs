//! The meaning of a refused or failed request for the caller.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::store::{ByteRange, Condition, Key, StoreError};

pub(super) fn put_failed<E: ProvideErrorMetadata>(key: &Key, condition: &Condition, error: &SdkError<E>) -> StoreError {
    match (status(error), condition) {
        (Some(412), _) | (Some(404), Condition::Matches(_)) => StoreError::Precondition,
        // Another conditional put of the same key is in progress.
        (Some(409), _) => StoreError::Conflict(key.to_string()),
        _ => failed("writing", key.as_str(), error),
    }
}

pub(super) fn range_failed<E: ProvideErrorMetadata>(key: &Key, range: ByteRange, error: &SdkError<E>) -> StoreError {
    match status(error) {
        Some(416) => StoreError::BeyondEnd { key: key.to_string(), range },
        _ => get_failed(key, error),
    }
}

pub(super) fn get_failed<E: ProvideErrorMetadata>(key: &Key, error: &SdkError<E>) -> StoreError {
    match (status(error), code(error)) {
        // An invalid version id or a delete marker counts as not found too.
        (Some(404 | 405), code) if code != Some("NoSuchBucket") => StoreError::NotFound(key.to_string()),
        (Some(400), Some("InvalidArgument" | "NoSuchVersion")) => StoreError::NotFound(key.to_string()),
        _ => failed("reading", key.as_str(), error),
    }
}

/// The kind of a failure, with its code only: messages may repeat content of the request.
pub(super) fn failed<E: ProvideErrorMetadata>(action: &'static str, path: &str, error: &SdkError<E>) -> StoreError {
    let code = code(error).unwrap_or_default().to_owned();
    match status(error) {
        Some(401 | 403) => {
            StoreError::Denied(format!("{path} ({code}): check the role's permissions on bucket and key"))
        }
        Some(404) if code == "NoSuchBucket" => StoreError::Denied(format!("{path}: bucket not found")),
        status => {
            let what = match error {
                SdkError::TimeoutError(_) => "no response in time".to_owned(),
                SdkError::DispatchFailure(failure) if failure.is_io() => "the connection failed".to_owned(),
                SdkError::DispatchFailure(failure) if failure.is_timeout() => "no response in time".to_owned(),
                SdkError::DispatchFailure(_) => {
                    "the request could not be sent: check that the server is reachable and that the AWS region and \
                     credentials are set"
                        .to_owned()
                }
                SdkError::ConstructionFailure(_) => {
                    "the request could not be made: check that the AWS region and credentials are set".to_owned()
                }
                _ => format!("{code} (HTTP {})", status.unwrap_or(0)),
            };
            StoreError::Unavailable { action, path: path.to_owned(), source: std::io::Error::other(what) }
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}
