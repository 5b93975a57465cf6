//! Bulk files from NCBI's server, checked against their `.md5` file before they are read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::io::AsyncWriteExt;

use super::bulk_file::{self, Md5, SideFileError};
use super::resolver::PublicResolver;

/// Folders that are searched for a file, in this order.
const FOLDERS: [&str; 2] = ["updatefiles", "baseline"];

/// Maximum size of an `.md5` file.
const MAX_SIDE_BYTES: usize = 4096;

/// How long a listing is reused: jobs over many files are planned one after the other.
const LISTING_MAX_AGE: Duration = Duration::from_secs(60);

/// Maximum size of a folder listing: 3,000 files take about one megabyte.
const MAX_LISTING_BYTES: usize = 16 << 20;

/// Maximum size of a downloaded bulk file; those of NLM have up to about 0.2 GB.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// Maximum number of redirects.
const MAX_REDIRECTS: usize = 5;

/// A complete file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    pub path: PathBuf,
    /// Last-Modified of the response: the as-of time of its records.
    pub last_modified: Option<DateTime<Utc>>,
    /// MD5 of its bytes, lower-case hex.
    pub md5: String,
}

/// A file cannot be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The name is not that of a bulk file.
    #[error("{0} is not the name of a bulk file such as pubmed26n0001.xml.gz")]
    Name(String),
    /// The server does not have the file, or not yet its `.md5` file.
    #[error("NCBI does not have {0}, or not yet its .md5 file")]
    NotThere(String),
    #[error("{name} could not be fetched: {what}")]
    Server {
        name: String,
        /// A description, without content from the server.
        what: String,
    },
    /// The file is damaged.
    #[error("{name} has the MD5 {found}, but its .md5 file says {expected}: fetch it again")]
    WrongMd5 {
        name: String,
        /// From the MD5 file.
        expected: String,
        /// MD5 of the bytes.
        found: String,
    },
    /// The `.md5` file is invalid.
    #[error("{name}.md5 cannot be used")]
    SideFile { name: String, source: SideFileError },
    /// Writing the file failed.
    #[error("{path} cannot be written")]
    Disk { path: String, source: std::io::Error },
}

/// A server of bulk files. Its HTTP client is created at its first use.
#[derive(Clone, Debug)]
pub struct FilesServer {
    base: String,
    http: Arc<OnceLock<reqwest::Client>>,
    listed: Arc<tokio::sync::Mutex<Option<Listed>>>,
}

/// A listing, and when it was received.
type Listed = (Instant, Arc<FileListing>);

impl FilesServer {
    /// The server whose folders `baseline` and `updatefiles` are under `files_url`.
    pub fn new(files_url: &str) -> Self {
        Self { base: files_url.trim_end_matches('/').to_owned(), http: Arc::default(), listed: Arc::default() }
    }

    fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(client)
    }

    /// The files on the server that have an `.md5` file: one request per folder, and none while a recent listing
    /// contains all of `names`. Returns none for a server without folder listings, such as a bucket.
    pub async fn list(&self, names: &[String]) -> Result<Option<Arc<FileListing>>, DownloadError> {
        let mut listed = self.listed.lock().await;
        if let Some((at, listing)) = &*listed
            && at.elapsed() < LISTING_MAX_AGE
            && names.iter().all(|name| listing.size_of(name).is_some())
        {
            return Ok(Some(listing.clone()));
        }
        let mut listing = FileListing::default();
        let mut is_listed = false;
        for folder in FOLDERS {
            let url = format!("{}/{folder}/", self.base);
            let Some(response) = get(self.http(), &url, folder).await? else { continue };
            is_listed = true;
            listing.read(&text(response, folder, MAX_LISTING_BYTES).await?);
        }
        if !is_listed || listing.0.is_empty() {
            return Ok(None);
        }
        let listing = Arc::new(listing);
        *listed = Some((Instant::now(), listing.clone()));
        Ok(Some(listing))
    }

    /// Downloads a bulk file and its `.md5` file into a directory. The file gets its name only when it is complete and
    /// its MD5 matches.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), bio_mcp_pubmed::download::DownloadError> {
    /// use std::path::Path;
    ///
    /// use bio_mcp_pubmed::download::FilesServer;
    ///
    /// let server = FilesServer::new("https://ftp.ncbi.nlm.nih.gov/pubmed/");
    /// let file = server.download("pubmed26n0001.xml.gz", Path::new("/data")).await?;
    /// println!("{} with MD5 {}", file.path.display(), file.md5);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn download(&self, name: &str, dir: &Path) -> Result<Downloaded, DownloadError> {
        let http = self.http();
        for url in addresses(&self.base, name)? {
            let Some((side, expected)) = side_file(http, &url, name).await? else { continue };
            let Some(response) = get(http, &url, name).await? else { continue };
            let last_modified = response
                .headers()
                .get("last-modified")
                .and_then(|value| DateTime::parse_from_rfc2822(value.to_str().ok()?).ok())
                .map(|at| at.to_utc());
            let path = store(response, name, &expected, dir).await?;
            let beside = dir.join(format!("{name}.md5"));
            let mut file = create(&beside).map_err(|source| disk(&beside, source))?;
            file.write_all(side.as_bytes()).await.map_err(|source| disk(&beside, source))?;
            file.flush().await.map_err(|source| disk(&beside, source))?;
            return Ok(Downloaded { path, last_modified, md5: expected });
        }
        Err(DownloadError::NotThere(name.to_owned()))
    }
}

/// Names of bulk files with their size in bytes, if the listing contains it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileListing(HashMap<String, u64>);

impl FileListing {
    /// The size of a file that is listed together with its `.md5` file.
    pub fn size_of(&self, name: &str) -> Option<u64> {
        self.0.get(&format!("{name}.md5"))?;
        self.0.get(name).copied()
    }

    /// Reads the HTML of a folder: links, each followed by date and size.
    fn read(&mut self, html: &str) {
        for part in html.split("href=\"").skip(1) {
            let Some((name, rest)) = part.split_once('"') else { continue };
            if bulk_file::number(name.strip_suffix(".md5").unwrap_or(name)).is_none() {
                continue;
            }
            let behind = rest.split_once("</a>").map_or("", |(_, behind)| behind);
            let line = behind.split(['\n', '<']).next().unwrap_or_default();
            let size = line.split_whitespace().last().and_then(size_in_bytes).unwrap_or(0);
            self.0.insert(name.to_owned(), size);
        }
    }
}

/// Parses a size of a listing: `19M`, `1.2K` or `18923412`.
fn size_in_bytes(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        'K' => 1 << 10,
        'M' => 1 << 20,
        'G' => 1 << 30,
        _ => return text.parse().ok(),
    };
    let number: f64 = text[..text.len() - 1].parse().ok().filter(|n| (0.0..1e6).contains(n))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above; an estimate")]
    Some((number * f64::from(unit)) as u64)
}

fn client() -> reqwest::Client {
    // Fails harmlessly if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("bio-mcp/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .dns_resolver(PublicResolver)
        .redirect(reqwest::redirect::Policy::custom(|attempt| {
            let first = attempt.previous().first();
            let is_within = first.is_some_and(|first| stays(first, attempt.url()));
            // Otherwise the response with the redirect itself is reported.
            if is_within && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
        }))
        .build()
        .expect("the settings of the HTTP client are constants")
}

/// Whether a redirect stays on the same server, and does not leave TLS: otherwise a response could make this program
/// send requests to addresses of its own network.
fn stays(from: &reqwest::Url, to: &reqwest::Url) -> bool {
    let is_same = to.scheme() == from.scheme() && to.port() == from.port();
    // From the default port to the default port.
    let is_safer = from.scheme() == "http" && to.scheme() == "https" && from.port().is_none() && to.port().is_none();
    let has_no_user = to.username().is_empty() && to.password().is_none();
    (is_same || is_safer) && to.host_str() == from.host_str() && has_no_user
}

/// The URLs at which a bulk file may be.
fn addresses(base: &str, name: &str) -> Result<[String; 2], DownloadError> {
    if bulk_file::number(name).is_none() {
        return Err(DownloadError::Name(name.to_owned()));
    }
    Ok(FOLDERS.map(|folder| format!("{base}/{folder}/{name}")))
}

/// Downloads an MD5 file and returns its text and the MD5 in it.
async fn side_file(http: &reqwest::Client, url: &str, name: &str) -> Result<Option<(String, String)>, DownloadError> {
    let Some(side) = get(http, &format!("{url}.md5"), name).await? else { return Ok(None) };
    let side = text(side, name, MAX_SIDE_BYTES).await?;
    let sum = bulk_file::side_file_md5(&side, name)
        .map_err(|source| DownloadError::SideFile { name: name.to_owned(), source })?;
    Ok(Some((side, sum)))
}

async fn get(http: &reqwest::Client, url: &str, name: &str) -> Result<Option<reqwest::Response>, DownloadError> {
    checked(http.get(url).send().await, name)
}

fn checked(
    sent: Result<reqwest::Response, reqwest::Error>,
    name: &str,
) -> Result<Option<reqwest::Response>, DownloadError> {
    let response = sent.map_err(|error| server(name, &error))?;
    match response.status().as_u16() {
        200 => Ok(Some(response)),
        404 => Ok(None),
        300..400 => {
            let what = "it redirects to another server, which is not followed: set BIO_MCP_PUBMED_FILES_URL".to_owned();
            Err(DownloadError::Server { name: name.to_owned(), what })
        }
        status => Err(DownloadError::Server { name: name.to_owned(), what: format!("HTTP status {status}") }),
    }
}

async fn text(mut response: reqwest::Response, name: &str, max_bytes: usize) -> Result<String, DownloadError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| server(name, &error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > max_bytes {
            let what = format!("the response is longer than {max_bytes} bytes");
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
    let mut file = create(&part).map_err(|source| disk(&part, source))?;
    let (mut md5, mut bytes) = (Md5::default(), 0);
    while let Some(chunk) = response.chunk().await.map_err(|error| server(name, &error))? {
        bytes += chunk.len() as u64;
        if bytes > MAX_FILE_BYTES {
            let _ = tokio::fs::remove_file(&part).await;
            let what = format!("it is longer than {MAX_FILE_BYTES} bytes");
            return Err(DownloadError::Server { name: name.to_owned(), what });
        }
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

/// Replaces a file with a new one, so that nothing is written through a link or a file of another user with its name.
fn create(path: &Path) -> std::io::Result<tokio::fs::File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::File::options().write(true).create_new(true).open(path).map(tokio::fs::File::from_std)
}

/// Creates a folder for downloads if it does not exist. One in a folder for temporary files, which another user could
/// have created, must belong to this user and be closed to others.
pub fn make_folder(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let parent = std::fs::metadata(dir.parent().unwrap_or(dir))?;
    let own = std::fs::symlink_metadata(dir)?;
    let is_own = own.is_dir() && own.uid() == rustix::process::geteuid().as_raw() && own.mode() & 0o022 == 0;
    if parent.mode() & 0o002 != 0 && !is_own {
        return Err(std::io::Error::other("it exists and is not a private directory of this user: remove it"));
    }
    Ok(())
}

fn server(name: &str, error: &reqwest::Error) -> DownloadError {
    let what = if error.is_timeout() { "no response in time" } else { "the connection failed" };
    DownloadError::Server { name: name.to_owned(), what: what.to_owned() }
}

fn disk(path: &Path, source: std::io::Error) -> DownloadError {
    DownloadError::Disk { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_with_the_server_that_was_asked() {
        let url = |text: &str| reqwest::Url::parse(text).expect("a URL");
        let from = url("https://ftp.example/pubmed/a");
        assert!(stays(&from, &url("https://ftp.example/b")));
        assert!(stays(&url("http://ftp.example/a"), &url("https://ftp.example/a")));
        for to in [
            "http://ftp.example/a",
            "https://169.254.169.254/a",
            "https://[::ffff:169.254.169.254]/a",
            "https://[fe80::1]/a",
            "https://ftp.example:8443/a",
            "https://x.example/a",
            "https://x@ftp.example/a",
        ] {
            assert!(!stays(&from, &url(to)), "{to}");
        }
        let plain = url("http://ftp.example:8080/a");
        assert!(stays(&plain, &url("http://ftp.example:8080/b")));
        for to in
            ["http://ftp.example/a", "https://ftp.example/a", "https://ftp.example:9000/a", "ftp://ftp.example:8080/a"]
        {
            assert!(!stays(&plain, &url(to)), "{to}");
        }
    }

    #[tokio::test]
    async fn nothing_is_written_through_a_link_or_into_anothers_folder() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (victim, part) = (dir.path().join("victim"), dir.path().join("part"));
        std::fs::write(&victim, "mine").expect("written");
        symlink(&victim, &part).expect("linked");
        let mut file = create(&part).expect("made anew");
        file.write_all(b"theirs").await.expect("written");
        file.flush().await.expect("written");
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "mine");
        assert_eq!(std::fs::read_to_string(&part).expect("there"), "theirs");

        let open = dir.path().join("tmp");
        std::fs::create_dir(&open).expect("made");
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o1777)).expect("set");
        make_folder(&open.join("own")).expect("made");
        make_folder(&open.join("own")).expect("there already");
        let mode = std::fs::metadata(open.join("own")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        symlink(dir.path(), open.join("link")).expect("linked");
        make_folder(&open.join("link")).expect_err("a link");
        std::fs::create_dir(open.join("wide")).expect("made");
        std::fs::set_permissions(open.join("wide"), std::fs::Permissions::from_mode(0o777)).expect("set");
        make_folder(&open.join("wide")).expect_err("others can write to it");
    }

    #[test]
    fn a_listing_has_files_with_their_sums_and_about_their_sizes() {
        let mut listing = FileListing::default();
        listing.read(
            "<a href=\"/pubmed/\">Parent</a>  -\n\
             <a href=\"README.txt\">README.txt</a>  2026-01-02 10:00  5.0K\n\
             <a href=\"pubmed26n0001.xml.gz\">pubmed26n0001.xml.gz</a>  2026-01-02 10:00   19M  \n\
             <a href=\"pubmed26n0001.xml.gz.md5\">pubmed26n0001.xml.gz.md5</a> 2026-01-02 10:00   60 \n\
             <a href=\"pubmed26n0002.xml.gz\">pubmed26n0002.xml.gz</a>  2026-01-02 10:00  1.5K\n",
        );
        assert_eq!(listing.size_of("pubmed26n0001.xml.gz"), Some(19 << 20));
        assert_eq!(listing.size_of("pubmed26n0002.xml.gz"), None, "its .md5 file is not there yet");
        assert_eq!(listing.size_of("pubmed26n0003.xml.gz"), None);
        assert_eq!(size_in_bytes("1.5K"), Some(1536));
        assert_eq!(size_in_bytes("18923412"), Some(18_923_412));
        assert_eq!(size_in_bytes("-"), None);
    }
}
