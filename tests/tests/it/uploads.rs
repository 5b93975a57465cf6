//! Multipart uploads that fail or are abandoned: they are aborted only when no part is in progress any more, because S3
//! keeps a part that arrives after the abort.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use shared::archive::{Condition, S3Settings, S3Store, Store, StoreError, StreamPut};
use tests::store_conformance::key;
use tests::store_parts::{LARGE, Made};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

/// A request that the server received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    PartBegins,
    PartEnds,
    Abort,
}

/// A server with the subset of S3 that uploads need; it stores nothing. Each part waits for a permit.
#[derive(Clone)]
struct Stub {
    steps: Arc<Mutex<Vec<Step>>>,
    may_end: Arc<Semaphore>,
    begun: Arc<Notify>,
    aborted: Arc<Notify>,
}

impl Stub {
    /// Starts it, and opens a store on it.
    async fn open() -> (Self, S3Store) {
        let stub = Self {
            steps: Arc::default(),
            may_end: Arc::new(Semaphore::new(0)),
            begun: Arc::default(),
            aborted: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let server = axum::Router::new().fallback(respond).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, server).await.expect("serves") });
        let settings = S3Settings { bucket: "bucket".to_owned(), kms_key_id: None, path_style: true };
        let store = S3Store::open(settings, &tests::s3::config(&url)).await.expect("opens");
        (stub, store)
    }

    fn note(&self, step: Step) {
        self.steps.lock().expect("no panic").push(step);
    }

    /// Every started part has ended before the only abort.
    fn check(&self) {
        let steps = self.steps.lock().expect("no panic").clone();
        let count = |step| steps.iter().filter(|one| **one == step).count();
        assert!(count(Step::PartBegins) > 0, "{steps:?}");
        assert_eq!(count(Step::PartBegins), count(Step::PartEnds), "{steps:?}");
        assert_eq!((count(Step::Abort), steps.last()), (1, Some(&Step::Abort)), "{steps:?}");
    }
}

async fn respond(State(stub): State<Stub>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let query = head.uri.query().unwrap_or_default();
    match head.method {
        Method::GET if query.contains("versioning") => {
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>".into_response()
        }
        Method::POST if query.contains("uploads") => {
            let xml = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
            xml.into_response()
        }
        Method::PUT => {
            stub.note(Step::PartBegins);
            stub.begun.notify_one();
            stub.may_end.acquire().await.expect("open").forget();
            stub.note(Step::PartEnds);
            [("etag", "\"1\"")].into_response()
        }
        Method::DELETE => {
            stub.note(Step::Abort);
            stub.aborted.notify_one();
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn put() -> StreamPut {
    StreamPut { key: key("stream/1"), condition: Condition::Absent, max_bytes: LARGE }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_is_aborted_when_its_parts_have_ended() {
    let (stub, store) = Stub::open().await;
    let (mut rest, end) = tokio::io::duplex(16);
    let (put, mut body) = (put(), Made::new(LARGE).chain(end));
    let mut storing = store.put_stream(&put, &mut body);
    tokio::select! {
        stored = &mut storing => panic!("its content has not ended: {stored:?}"),
        () = stub.begun.notified() => {}
    }
    // More bytes than allowed.
    rest.write_all(b"x").await.expect("written");
    drop(rest);
    assert!(timeout(Duration::from_millis(300), &mut storing).await.is_err(), "its parts are under way");
    stub.may_end.add_permits(100);
    let failed = storing.await;
    assert!(matches!(failed, Err(StoreError::BodyTooLarge { .. })), "{failed:?}");
    stub.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_caller_is_stopped_is_aborted_when_its_parts_have_ended() {
    let (stub, store) = Stub::open().await;
    let (_rest, end) = tokio::io::duplex(16);
    let (put, mut body) = (put(), Made::new(LARGE).chain(end));
    tokio::select! {
        stored = store.put_stream(&put, &mut body) => panic!("its content has not ended: {stored:?}"),
        () = stub.begun.notified() => {}
    }
    stub.may_end.add_permits(100);
    timeout(Duration::from_secs(30), stub.aborted.notified()).await.expect("aborted");
    stub.check();
}
