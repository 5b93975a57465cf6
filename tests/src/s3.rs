//! Buckets on the S3 emulator.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};

/// SDK settings for the emulator, which accepts any credentials.
pub fn config(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "tests")))
        .http_client(shared::aws::http_client())
        .build()
}

/// A client of the emulator.
pub fn client(endpoint: &str) -> Client {
    Client::from_conf(aws_sdk_s3::config::Builder::from(&config(endpoint)).force_path_style(true).build())
}

pub async fn new_bucket(client: &Client, versioned: bool) -> String {
    let name = format!("t-{}", uuid::Uuid::new_v4().simple());
    client.create_bucket().bucket(&name).send().await.expect("made");
    if versioned {
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        client.put_bucket_versioning().bucket(&name).versioning_configuration(enabled).send().await.expect("versioned");
    }
    name
}
