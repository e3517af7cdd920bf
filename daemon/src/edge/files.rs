//! Files that are either the old or the new one, also after a power cut, and work on them that keeps its order.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// Replaces the file at `path` as one step: a reader, or the next boot, finds the old contents or the new ones.
///
/// `mode` is the new file's permission bits, such as `0o600`. The folder must exist.
///
/// # Errors
/// Whatever the file system says; the old file is then untouched.
pub fn write_atomically(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// A file, or what knows one, on which one piece of work is done after the other, in the order in which they came.
///
/// Blocking work goes on when nobody waits for it any more. Without the order, an old save that is slow could undo a
/// newer one.
#[derive(Clone, Debug)]
pub struct Serial<T>(Arc<Mutex<T>>);

impl<T: Send + 'static> Serial<T> {
    /// Nothing is done yet.
    pub fn new(file: T) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    /// Does `work` where blocking is allowed, when all that came before is done. Work that nobody waits for any more
    /// is not begun, and work that has begun ends.
    ///
    /// # Errors
    /// When the runtime ends first.
    pub async fn run<R: Send + 'static>(&self, work: impl FnOnce(&T) -> R + Send + 'static) -> io::Result<R> {
        let file = self.0.clone().lock_owned().await;
        spawn_blocking(move || work(&file))
            .await
            .map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn slow_work_that_nobody_waits_for_ends_before_newer_work_begins() {
        let file = Serial::new(());
        let (done, order) = mpsc::channel();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (release, released) = mpsc::channel::<()>();
        let (old, old_done) = (file.clone(), done.clone());
        let old = tokio::spawn(async move {
            let slow = move |(): &()| {
                begun.send(()).unwrap();
                released.recv().unwrap();
                old_done.send("old").unwrap();
            };
            old.run(slow).await
        });
        has_begun.await.unwrap();
        old.abort();
        let mut new = tokio::spawn(async move { file.run(move |()| done.send("new").unwrap()).await });
        assert!(timeout(Duration::from_millis(100), &mut new).await.is_err());
        release.send(()).unwrap();
        new.await.unwrap().unwrap();
        assert_eq!(order.into_iter().collect::<Vec<_>>(), ["old", "new"]);
    }
}
