//! How a command fails: an exit code for scripts, a stable error code, a message that says what is wrong and what to
//! do.

use std::process::ExitCode;

use serde_json::json;
use shared::archive::{OpenError, ReadError, StoreError};
use shared::config::ConfigErrors;
use shared::core::ErrorCode;
use shared::db::DbError;
use shared::deployment::StartError;
use shared::ingest::{StepError, UnitError};
use shared::jobs::SubmitError;
use shared::observability;
use shared::pubmed::download::DownloadError;
use shared::pubmed::eutils::EutilsError;
use shared::sources::pubmed_sync::{ParamError, SubmitSyncError};
use shared::sources::topics::TopicError;
use shared::syncs::BindError;
use shared::tools::ToolError;

use crate::out;

/// Exit codes; the help text lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// The job failed, or problems were found.
    Failed = 1,
    /// Wrong usage, settings or input.
    Usage = 2,
    /// No such archive, record or job.
    NotFound = 3,
    /// Database or disk not available now.
    Unavailable = 4,
    /// Done, but some records went to quarantine or were left out.
    Partial = 5,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct CliError {
    /// For the shell.
    pub exit: Exit,
    /// For scripts.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

impl CliError {
    pub fn new(exit: Exit, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into() }
    }

    /// Wrong usage or input.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, ErrorCode::ValidationError, message)
    }

    /// A disk error: the disk is full or read-only, or the file is not what it should be.
    pub fn disk(error: &std::io::Error, message: impl Into<String>) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            ReadOnlyFilesystem => Self::new(Exit::Unavailable, ErrorCode::ArchiveError, message),
            StorageFull | QuotaExceeded => {
                let message = format!("{}: free some space", message.into());
                Self::new(Exit::Unavailable, ErrorCode::ArchiveError, message)
            }
            _ => Self::usage(message),
        }
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, ErrorCode::NotFound, message)
    }

    pub fn database(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, ErrorCode::DatabaseError, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, ErrorCode::Internal, message)
    }

    /// Prints it to standard error.
    pub fn show(&self, as_json: bool) {
        if as_json {
            let body = json!({
                "ok": false, "error_code": self.code, "message": self.message, "retryable": self.code.is_retryable(),
            });
            out::note(body);
        } else {
            out::note(format_args!("bio-mcp: {}", self.message));
        }
    }
}

impl From<ConfigErrors> for CliError {
    fn from(errors: ConfigErrors) -> Self {
        Self::usage(errors.to_string())
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Secret(error) => {
                Self::new(Exit::Unavailable, ErrorCode::Internal, observability::chain(&error))
            }
            error => Self::usage(error.to_string()),
        }
    }
}

impl From<TopicError> for CliError {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Params(error) => error.into(),
            TopicError::Bind(error) => error.into(),
            TopicError::Db(error) => error.into(),
        }
    }
}

impl From<DbError> for CliError {
    fn from(error: DbError) -> Self {
        let exit = match error {
            DbError::Refused(_) | DbError::Schema(_) | DbError::PowerfulRole { .. } => Exit::Failed,
            _ => Exit::Unavailable,
        };
        Self::new(exit, ErrorCode::DatabaseError, observability::chain(&error))
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::new(Exit::Unavailable, ErrorCode::ArchiveError, observability::chain(&error))
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::Store { source, .. } if source.is_transient() => Exit::Unavailable,
            _ => Exit::Usage,
        };
        Self::new(exit, ErrorCode::ArchiveError, observability::chain(&error))
    }
}

impl From<EutilsError> for CliError {
    fn from(error: EutilsError) -> Self {
        let exit = match error.code() {
            ErrorCode::QueryRejected => Exit::Usage,
            _ if matches!(error, EutilsError::BadKey) => Exit::Usage,
            _ => Exit::Unavailable,
        };
        Self::new(exit, error.code(), observability::chain(&error))
    }
}

impl From<DownloadError> for CliError {
    fn from(error: DownloadError) -> Self {
        let (exit, code) = match &error {
            DownloadError::Name(_) => (Exit::Usage, ErrorCode::ValidationError),
            DownloadError::NotThere(_) => (Exit::NotFound, ErrorCode::NotFound),
            DownloadError::Disk { .. } => (Exit::Unavailable, ErrorCode::ArchiveError),
            _ => (Exit::Unavailable, ErrorCode::PubmedError),
        };
        Self::new(exit, code, observability::chain(&error))
    }
}

impl From<ParamError> for CliError {
    fn from(error: ParamError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<SubmitSyncError> for CliError {
    fn from(error: SubmitSyncError) -> Self {
        match error {
            SubmitSyncError::Bind(error) => error.into(),
            SubmitSyncError::Submit(error) => error.into(),
        }
    }
}

impl From<BindError> for CliError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Db(error) => error.into(),
            other => Self::usage(other.to_string()),
        }
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        let message = observability::chain(&error);
        if error.is_missing_or_damaged() {
            let hint = "run `bio-mcp verify --repair`, then ingest or sync the record again";
            return Self::new(Exit::Failed, ErrorCode::ArchiveError, format!("{message}: {hint}"));
        }
        let exit = if error.is_one_object() { Exit::Failed } else { Exit::Unavailable };
        Self::new(exit, ErrorCode::ArchiveError, message)
    }
}

impl From<UnitError> for CliError {
    fn from(error: UnitError) -> Self {
        match error {
            UnitError::Failed { code, message, .. } => {
                let exit = match code {
                    ErrorCode::ValidationError => Exit::Usage,
                    code if code.is_retryable() => Exit::Unavailable,
                    _ => Exit::Failed,
                };
                Self::new(exit, code, message)
            }
            UnitError::Blocked { code, message } => Self::new(Exit::Unavailable, code, message),
            other => Self::new(Exit::Interrupted, ErrorCode::Internal, other.to_string()),
        }
    }
}

impl From<shared::ingest::RetryError> for CliError {
    fn from(error: shared::ingest::RetryError) -> Self {
        match error {
            shared::ingest::RetryError::Unit(error) | shared::ingest::RetryError::Step(StepError::Unit(error)) => {
                error.into()
            }
            shared::ingest::RetryError::Submit(error) => error.into(),
            shared::ingest::RetryError::Step(StepError::Refused(refusal) | StepError::NotNow(refusal)) => {
                ToolError::from(refusal).into()
            }
        }
    }
}

impl From<SubmitError> for CliError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Db(error) => error.into(),
            SubmitError::TooManyJobs(_) | SubmitError::TooManyOfPrincipal(_) | SubmitError::DailyRecords { .. } => {
                Self::new(Exit::Unavailable, ErrorCode::RateLimitExceeded, error.to_string())
            }
            SubmitError::Busy(_) => Self::new(Exit::Usage, ErrorCode::AlreadyExists, error.to_string()),
            SubmitError::IdempotencyConflict => {
                Self::new(Exit::Usage, ErrorCode::IdempotencyConflict, error.to_string())
            }
            SubmitError::Params(_) => Self::usage(observability::chain(&error)),
        }
    }
}

impl From<shared::verify::VerifyError> for CliError {
    fn from(error: shared::verify::VerifyError) -> Self {
        match error {
            shared::verify::VerifyError::Db(error) => error.into(),
            shared::verify::VerifyError::Store(error) => error.into(),
        }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        let output = error.get_ref().and_then(|inner| inner.downcast_ref::<out::Unwritable>());
        let code = if output.is_some() { ErrorCode::Internal } else { ErrorCode::ArchiveError };
        Self::new(Exit::Unavailable, code, error.to_string())
    }
}
