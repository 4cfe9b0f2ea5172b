//! Where plans and results lie: a folder, or S3 and what is compatible with it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Place;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode};
use tokio::runtime::{Builder, Runtime};

/// Files by name, each with a mark that changes with its content.
pub(super) type Files = Vec<(String, String)>;

/// A folder or a bucket; messages show its address.
#[derive(Debug)]
pub(super) struct Store {
    address: String,
    objects: Box<dyn ObjectStore>,
    runtime: Runtime,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Store {
    /// Opens a folder or an address of S3; one that does not answer is tried for as long as `patience` says.
    ///
    /// # Errors
    /// If there is no such folder, or the address or its keys are not complete.
    pub(super) fn open(address: &str, patience: Duration) -> Result<Self> {
        let objects = match address.split_once("://") {
            None => folder(Path::new(address))?,
            Some(("s3", rest)) => s3(address, rest, patience)?,
            Some(_) => bail!("{address} is no storage: give a folder or s3://BUCKET/PREFIX"),
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            address: address.to_owned(),
            objects,
            runtime: runtime.context("cannot use the storage")?,
        })
    }

    /// Whether it is a folder, and which one.
    pub(super) fn folder(&self) -> Option<&Path> {
        (!self.address.contains("://")).then(|| Path::new(&self.address))
    }

    /// The last part of the address.
    pub(super) fn name(&self) -> String {
        match self.folder() {
            Some(folder) => crate::cli::common::folder_name(folder),
            None => {
                let end = self.address.trim_end_matches('/').rsplit('/').next();
                end.unwrap_or_default().to_owned()
            }
        }
    }

    /// The content of a file; none if there is no such file.
    ///
    /// # Errors
    /// If the storage cannot be reached.
    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.get_marked(name)?.map(|(content, _)| content))
    }

    /// The content of a file with its mark, as [`Self::list`] has it; none if there is no such file.
    ///
    /// # Errors
    /// If the storage cannot be reached.
    pub(super) fn get_marked(&self, name: &str) -> Result<Option<(Vec<u8>, String)>> {
        let place = self.place(name)?;
        let content = self.runtime.block_on(async {
            let found = self.objects.get(&place).await?;
            let mark = mark(&found.meta);
            Ok((found.bytes().await?.into(), mark))
        });
        match content {
            Ok(content) => Ok(Some(content)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(err) => Err(self.told("read", name, err)),
        }
    }

    /// Whether there is such a file.
    ///
    /// # Errors
    /// If the storage cannot be reached.
    pub(super) fn has(&self, name: &str) -> Result<bool> {
        let place = self.place(name)?;
        match self.runtime.block_on(self.objects.head(&place)) {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(err) => Err(self.told("read", name, err)),
        }
    }

    /// Writes a file in the place of an older one.
    ///
    /// # Errors
    /// If the storage cannot be reached.
    pub(super) fn put(&self, name: &str, content: Vec<u8>) -> Result<()> {
        self.put_as(name, content, PutMode::Overwrite).map(drop)
    }

    /// Writes a file unless there is one; says whether there was none.
    ///
    /// # Errors
    /// If the storage cannot be reached.
    pub(super) fn put_once(&self, name: &str, content: Vec<u8>) -> Result<bool> {
        self.put_as(name, content, PutMode::Create)
    }

    fn put_as(&self, name: &str, content: Vec<u8>, mode: PutMode) -> Result<bool> {
        let place = self.place(name)?;
        let put = self.objects.put_opts(&place, content.into(), mode.into());
        match self.runtime.block_on(put) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(err) => Err(self.told("write", name, err)),
        }
    }

    /// The files below a folder, by name.
    ///
    /// # Errors
    /// If the storage cannot be reached.
    pub(super) fn list(&self, folder: &str) -> Result<Files> {
        let place = self.place(folder)?;
        let prefix = (!folder.is_empty()).then_some(&place);
        let objects = self.objects.list(prefix);
        let files = objects.map_ok(|own| (own.location.to_string(), mark(&own)));
        let all = self.runtime.block_on(files.try_collect());
        let mut all: Files = all.map_err(|err| self.told("list", folder, err))?;
        all.sort_unstable();
        Ok(all)
    }

    fn place(&self, name: &str) -> Result<Place> {
        Place::parse(name)
            .map_err(|err| anyhow!("{name} in {self} has no name that a storage takes ({err}): rename it"))
    }

    /// What failed, in a sentence.
    fn told(&self, action: &str, name: &str, err: Error) -> anyhow::Error {
        let mut reason: &dyn std::error::Error = &err;
        while let Some(inner) = reason.source() {
            reason = inner;
        }
        let reason = reason.to_string();
        let reason = reason.lines().next().unwrap_or_default().trim_end_matches('.');
        let name = if name.is_empty() { "the files" } else { name };
        let check = match self.folder() {
            Some(_) => "see that the folder may be read and written and the disk has room",
            None => "check the address, the keys and the network",
        };
        anyhow!("cannot {action} {name} in {self} ({reason}): {check}, and start the same command again")
    }
}

/// The tag that the storage gives a content, or its size where there are no tags.
fn mark(file: &ObjectMeta) -> String {
    file.e_tag.clone().unwrap_or_else(|| file.size.to_string())
}

fn folder(folder: &Path) -> Result<Box<dyn ObjectStore>> {
    let objects = LocalFileSystem::new_with_prefix(folder)
        .map_err(|_| anyhow!("there is no folder {}: check the address", folder.display()))?;
    Ok(Box::new(objects.with_fsync(true)))
}

#[cfg(feature = "s3")]
fn s3(address: &str, rest: &str, patience: Duration) -> Result<Box<dyn ObjectStore>> {
    use object_store::aws::AmazonS3Builder;
    use object_store::prefix::PrefixStore;
    use object_store::{BackoffConfig, RetryConfig};

    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        // the time is the limit
        max_retries: usize::MAX,
        retry_timeout: patience,
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retry);
    let bucket = builder.build().map_err(|err| {
        anyhow!("cannot use {address} ({err}): set the variables AWS_*, as for other programs")
    })?;
    let prefix = Place::parse(prefix).map_err(|err| anyhow!("{address} is no address of S3 ({err})"))?;
    Ok(Box::new(PrefixStore::new(bucket, prefix)))
}

#[cfg(not(feature = "s3"))]
fn s3(address: &str, _: &str, _: Duration) -> Result<Box<dyn ObjectStore>> {
    bail!(
        "this destseg was built without S3, which {address} needs: build it with `--features s3`, or give a folder"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("creates");
        let address = folder.path().to_str().expect("is UTF-8").to_owned();
        let store = Store::open(&address, Duration::ZERO).expect("opens");
        (folder, store)
    }

    #[test]
    fn what_is_put_once_stays() {
        let (_folder, store) = store();
        assert!(
            store
                .put_once("results/a.json", b"first".to_vec())
                .expect("writes")
        );
        assert!(
            !store
                .put_once("results/a.json", b"second".to_vec())
                .expect("is there")
        );
        assert_eq!(
            store.get("results/a.json").expect("reads"),
            Some(b"first".to_vec())
        );
        store.put("results/a.json", b"third".to_vec()).expect("writes");
        assert_eq!(
            store.get("results/a.json").expect("reads"),
            Some(b"third".to_vec())
        );
        assert_eq!(store.get("results/b.json").expect("reads"), None);
        assert!(store.has("results/a.json").expect("looks") && !store.has("results/b.json").expect("looks"));
    }

    #[test]
    fn files_are_found_under_their_own_names() {
        let (folder, store) = store();
        let names = ["a b/\u{e9} #1.png", "a b/100%.png", "plan.json"];
        std::fs::create_dir(folder.path().join("a b")).expect("creates");
        for name in names {
            std::fs::write(folder.path().join(name), name).expect("writes");
        }
        let found = store.list("").expect("lists");
        assert_eq!(found.len(), names.len());
        for (name, mark) in found {
            let content = store.get_marked(&name).expect("reads");
            assert_eq!(content, Some((name.into_bytes(), mark)));
        }
        assert!(store.list("results").expect("lists").is_empty());
    }

    #[test]
    fn what_is_no_storage_is_said() {
        for (address, said) in [
            ("/nowhere/at/all", "there is no folder /nowhere/at/all"),
            ("ftp://host/a", "give a folder or s3://BUCKET/PREFIX"),
        ] {
            let err = Store::open(address, Duration::ZERO).expect_err("is refused");
            assert!(err.to_string().contains(said), "{err}");
        }
    }
}
