//! The settings of a home, and its stores.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use checkpointed::Error;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::place::Settings;
use crate::{ObjectHome, invalid};

/// The least length of a part on S3.
const LEAST_PART: usize = 5 << 20;

/// The slowest connection for which the time limit is made, in bytes a second.
const SLOWEST: u64 = 64 << 10;

/// The settings of an [`ObjectHome`].
///
/// ```
/// use checkpointed_object_store::Options;
/// use object_store::memory::InMemory;
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// let home = Options::default().part_size(64 << 20).home(Arc::new(InMemory::new()), "run.ckpt")?;
/// # drop(home);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    part_size: usize,
    parallel: usize,
    timeout: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { part_size: 16 << 20, parallel: 4, timeout: Duration::from_secs(120) }
    }
}

impl Options {
    /// Sets the length of the parts in which a checkpoint is sent, in bytes; 16 MiB by default.
    /// There are at most 10 000 parts. A save needs the memory of `parallel` parts and two more.
    #[must_use]
    pub fn part_size(mut self, bytes: usize) -> Options {
        self.part_size = bytes;
        self
    }

    /// Sets the number of parts that are sent at a time; 4 by default.
    #[must_use]
    pub fn parallel(mut self, parts: usize) -> Options {
        self.parallel = parts;
        self
    }

    /// Sets the time limit of a request, beside the time that its transfer takes at 64 KiB a second
    /// for all parts together; 120 s by default. A request that fails in a way that may pass is
    /// repeated, with growing pauses, for as long as that.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Options {
        self.timeout = timeout;
        self
    }

    /// Like [`ObjectHome::from_url`].
    ///
    /// # Errors
    /// Those of [`ObjectHome::from_url`].
    pub fn from_url(self, url: &str) -> Result<ObjectHome, Error> {
        const FORM: &str =
            "the form is `s3://bucket/run.ckpt`, `gs://bucket/run.ckpt` or `az://container/run.ckpt`";
        let what = format!("the URL {url:?}");
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid(&what, FORM))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let key = key.trim_end_matches('/');
        if bucket.is_empty() || key.is_empty() || rest.contains(['?', '#', '@']) {
            return Err(invalid(&what, FORM));
        }
        if self.part_size < LEAST_PART {
            return Err(invalid("part_size", "the least length of a part is 5 MiB"));
        }
        let prefix =
            Path::parse(key).map_err(|_| invalid(&what, "its path is not valid in an object store"))?;
        let store = self.store(scheme, bucket, &what)?;
        ObjectHome::at(store, prefix, PathBuf::from(format!("{scheme}://{bucket}/{key}")), self.settings()?)
    }

    /// Like [`ObjectHome::new`].
    ///
    /// # Errors
    /// Those of [`ObjectHome::new`].
    pub fn home(self, store: Arc<dyn ObjectStore>, prefix: &str) -> Result<ObjectHome, Error> {
        let what = format!("the prefix {prefix:?}");
        let path = Path::parse(prefix.trim_end_matches('/'))
            .map_err(|_| invalid(&what, "it is not valid in an object store"))?;
        if path.as_ref().is_empty() {
            return Err(invalid(&what, "it is empty: give the checkpoints a name"));
        }
        let name = PathBuf::from(format!("{store}/{path}"));
        ObjectHome::at(store, path, name, self.settings()?)
    }

    fn settings(&self) -> Result<Settings, Error> {
        if self.part_size == 0 {
            return Err(invalid("part_size(0)", "a part has at least one byte"));
        }
        if self.parallel == 0 {
            return Err(invalid("parallel(0)", "at least one part is sent at a time"));
        }
        Ok(Settings { part_size: self.part_size, parallel: self.parallel, timeout: self.timeout })
    }

    /// The time limit of a whole request.
    #[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
    fn limit(&self) -> Duration {
        let bytes = (self.part_size as u64).saturating_mul(self.parallel as u64);
        self.timeout.saturating_add(Duration::from_secs(bytes / SLOWEST))
    }

    #[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
    fn retry(&self) -> object_store::RetryConfig {
        // The time limits the repetitions, not their number.
        object_store::RetryConfig {
            max_retries: usize::MAX,
            retry_timeout: self.timeout,
            ..object_store::RetryConfig::default()
        }
    }

    fn store(&self, scheme: &str, bucket: &str, what: &str) -> Result<Arc<dyn ObjectStore>, Error> {
        #[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
        let (url, limit) = (format!("{scheme}://{bucket}"), format!("{} s", self.limit().as_secs().max(1)));
        #[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
        let refused = |error: object_store::Error| {
            checkpointed::home::invalid_setting(
                format!("{what}, or the environment ({error})"),
                "see the variables of `object_store` for this store",
            )
        };
        #[cfg(not(any(feature = "aws", feature = "gcp", feature = "azure")))]
        let _ = bucket;
        match scheme {
            #[cfg(feature = "aws")]
            "s3" | "s3a" => {
                use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
                let builder = AmazonS3Builder::from_env().with_url(url).with_retry(self.retry());
                let key = AmazonS3ConfigKey::Client(object_store::ClientConfigKey::Timeout);
                Ok(Arc::new(builder.with_config(key, limit).build().map_err(refused)?))
            }
            #[cfg(feature = "gcp")]
            "gs" => {
                use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
                let builder = GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(self.retry());
                let key = GoogleConfigKey::Client(object_store::ClientConfigKey::Timeout);
                Ok(Arc::new(builder.with_config(key, limit).build().map_err(refused)?))
            }
            #[cfg(feature = "azure")]
            "az" | "azure" | "abfs" | "abfss" => {
                use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
                let builder = MicrosoftAzureBuilder::from_env().with_url(url).with_retry(self.retry());
                let key = AzureConfigKey::Client(object_store::ClientConfigKey::Timeout);
                Ok(Arc::new(builder.with_config(key, limit).build().map_err(refused)?))
            }
            _ => Err(invalid(
                what,
                "its scheme is none of `s3`, `gs` and `az`, or this program was built without the feature of that store: `aws`, `gcp` or `azure`",
            )),
        }
    }
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use super::*;

    #[test]
    fn the_time_limit_leaves_a_slow_connection_its_time() {
        let options = Options::default().timeout(Duration::from_secs(1));
        // Four parts of 16 MiB at 64 KiB a second.
        assert_eq!(options.limit(), Duration::from_secs(1 + 1024));
    }
}
