//! A task that ends with its owner.

use tokio::task::JoinHandle;

/// Aborts the task when dropped.
pub(crate) struct Task(pub(crate) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
