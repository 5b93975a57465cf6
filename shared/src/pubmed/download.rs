//! Bulk files from NCBI's server, checked against their `.md5` file before anybody reads them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::io::AsyncWriteExt;

use super::bulk_file::{self, Md5, SideFileError};

/// Where files are looked for, the newer ones first.
const FOLDERS: [&str; 2] = ["updatefiles", "baseline"];

/// The largest `.md5` file.
const MAX_SIDE_BYTES: usize = 4096;

/// A file that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Where it is.
    pub path: PathBuf,
    /// When the server says it was last changed: what its records are as of.
    pub last_modified: Option<DateTime<Utc>>,
    /// Its sum, lower-case hex.
    pub md5: String,
}

/// A file as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The sum in its `.md5` file, lower-case hex.
    pub md5: String,
    /// Its size, as far as the server tells.
    pub size_bytes: u64,
}

/// A file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The name is none of a bulk file.
    #[error("{0} is not the name of a bulk file like pubmed26n0001.xml.gz")]
    Name(String),
    /// The server does not have it, or not its `.md5` file yet.
    #[error("NCBI has no {0}, or not its .md5 file yet")]
    NotThere(String),
    /// The server failed.
    #[error("{name} could not be fetched: {what}")]
    Server {
        /// The file.
        name: String,
        /// What happened; nothing that the server sent.
        what: String,
    },
    /// It came damaged.
    #[error("{name} came with the MD5 {found}, its .md5 file says {expected}: fetch it again")]
    WrongMd5 {
        /// The file.
        name: String,
        /// In the side file.
        expected: String,
        /// Of the bytes.
        found: String,
    },
    /// The `.md5` file is none.
    #[error("{name}.md5 cannot be used")]
    SideFile {
        /// The file.
        name: String,
        /// Why.
        source: SideFileError,
    },
    /// It cannot be written here.
    #[error("{path} cannot be written")]
    Disk {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Fetches a bulk file into a directory, with its `.md5` file beside it. It has its name only when it is
/// whole and its sum agrees.
pub async fn download(files_url: &str, name: &str, dir: &Path) -> Result<Downloaded, DownloadError> {
    let http = client();
    for url in addresses(files_url, name)? {
        let Some((side, expected)) = side_file(&http, &url, name).await? else { continue };
        let Some(response) = get(&http, &url, name).await? else { continue };
        let last_modified = response
            .headers()
            .get("last-modified")
            .and_then(|value| DateTime::parse_from_rfc2822(value.to_str().ok()?).ok())
            .map(|at| at.to_utc());
        let path = store(response, name, &expected, dir).await?;
        let beside = dir.join(format!("{name}.md5"));
        tokio::fs::write(&beside, side).await.map_err(|source| disk(&beside, source))?;
        return Ok(Downloaded { path, last_modified, md5: expected });
    }
    Err(DownloadError::NotThere(name.to_owned()))
}

/// Looks whether the server has a bulk file, without fetching it.
pub async fn look(files_url: &str, name: &str) -> Result<Remote, DownloadError> {
    let http = client();
    for url in addresses(files_url, name)? {
        let Some((_, md5)) = side_file(&http, &url, name).await? else { continue };
        let Some(response) = answered(http.head(&url).send().await, name)? else { continue };
        let length = response.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        return Ok(Remote { md5, size_bytes: length.unwrap_or(0) });
    }
    Err(DownloadError::NotThere(name.to_owned()))
}

fn client() -> reqwest::Client {
    // Fails when it is installed already, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("bio-mcp/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .build()
        .expect("the settings of the HTTP client are constants")
}

/// Where a bulk file can be.
fn addresses(files_url: &str, name: &str) -> Result<[String; 2], DownloadError> {
    if bulk_file::number(name).is_none() {
        return Err(DownloadError::Name(name.to_owned()));
    }
    let base = files_url.trim_end_matches('/');
    Ok(FOLDERS.map(|folder| format!("{base}/{folder}/{name}")))
}

/// The side file of an address, with the sum in it.
async fn side_file(http: &reqwest::Client, url: &str, name: &str) -> Result<Option<(String, String)>, DownloadError> {
    let Some(side) = get(http, &format!("{url}.md5"), name).await? else { return Ok(None) };
    let side = text(side, name).await?;
    let sum = bulk_file::side_file_md5(&side, name)
        .map_err(|source| DownloadError::SideFile { name: name.to_owned(), source })?;
    Ok(Some((side, sum)))
}

async fn get(http: &reqwest::Client, url: &str, name: &str) -> Result<Option<reqwest::Response>, DownloadError> {
    answered(http.get(url).send().await, name)
}

fn answered(
    answer: Result<reqwest::Response, reqwest::Error>,
    name: &str,
) -> Result<Option<reqwest::Response>, DownloadError> {
    let response = answer.map_err(|error| server(name, &error))?;
    match response.status().as_u16() {
        200 => Ok(Some(response)),
        404 => Ok(None),
        status => Err(DownloadError::Server { name: name.to_owned(), what: format!("HTTP status {status}") }),
    }
}

async fn text(mut response: reqwest::Response, name: &str) -> Result<String, DownloadError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| server(name, &error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_SIDE_BYTES {
            let what = "its .md5 file is far too long".to_owned();
            return Err(DownloadError::Server { name: name.to_owned(), what });
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn store(
    mut response: reqwest::Response,
    name: &str,
    expected: &str,
    dir: &Path,
) -> Result<PathBuf, DownloadError> {
    let part = dir.join(format!(".{name}.part"));
    let mut file = tokio::fs::File::create(&part).await.map_err(|source| disk(&part, source))?;
    let mut md5 = Md5::default();
    while let Some(chunk) = response.chunk().await.map_err(|error| server(name, &error))? {
        md5.update(&chunk);
        file.write_all(&chunk).await.map_err(|source| disk(&part, source))?;
    }
    file.sync_all().await.map_err(|source| disk(&part, source))?;
    let found = md5.finish();
    if found != expected {
        let _ = tokio::fs::remove_file(&part).await;
        return Err(DownloadError::WrongMd5 { name: name.to_owned(), expected: expected.to_owned(), found });
    }
    let path = dir.join(name);
    tokio::fs::rename(&part, &path).await.map_err(|source| disk(&path, source))?;
    Ok(path)
}

fn server(name: &str, error: &reqwest::Error) -> DownloadError {
    let what = if error.is_timeout() { "no answer in time" } else { "the connection failed" };
    DownloadError::Server { name: name.to_owned(), what: what.to_owned() }
}

fn disk(path: &Path, source: std::io::Error) -> DownloadError {
    DownloadError::Disk { path: path.display().to_string(), source }
}
