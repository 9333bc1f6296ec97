//! A directory's desk in the driver: commands wait in a bounded queue and are carried out in order, one at a time.

use headwater_core::io::AskId;
use headwater_core::registry::{Command, Failure};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Client;
use crate::driver::Happened;
use crate::net::Net;
use crate::task::Task;

/// The queue of one directory, and the task behind it, which ends with it.
pub(crate) struct Desk {
    asks: mpsc::Sender<Ask>,
    patience: std::time::Duration,
    _task: Task,
}

struct Ask {
    ask: AskId,
    command: Command,
    /// When the node wants to know, whatever there is to know.
    until: Instant,
}

/// Commands that may wait for one directory. A server has one under way for what it announces and one for what it looks up.
const ASKS_MAX: usize = 256;

impl Desk {
    /// Answers go to `inputs`.
    pub(crate) fn open<N: Net>(client: Client<N>, inputs: mpsc::Sender<Happened<N::Stream>>) -> Desk {
        let (asks, queue) = mpsc::channel(ASKS_MAX);
        let patience = client.patience();
        Desk { asks, patience, _task: Task(tokio::spawn(work(client, queue, inputs))) }
    }

    /// Puts a command into the queue.
    ///
    /// # Errors
    ///
    /// If the queue is full: the answer is at hand then.
    pub(crate) fn put(&self, ask: AskId, command: Command) -> Result<(), Failure> {
        let until = Instant::now() + self.patience;
        self.asks.try_send(Ask { ask, command, until }).map_err(|_| {
            Failure::Away(format!("{ASKS_MAX} commands wait for it, and that is as many as may"))
        })
    }
}

async fn work<N: Net>(
    mut client: Client<N>,
    mut queue: mpsc::Receiver<Ask>,
    inputs: mpsc::Sender<Happened<N::Stream>>,
) {
    while let Some(Ask { ask, command, until }) = queue.recv().await {
        let answer = if until <= Instant::now() {
            // Those before it took the time; what is late is better not done at all.
            Err(Failure::Away("it did not answer those before".to_owned()))
        } else {
            timeout_at(until, client.execute(&command)).await.unwrap_or_else(|_| {
                client.disconnect();
                Err(Failure::Away("no answer in time".to_owned()))
            })
        };
        if inputs.send(Happened::Answered { ask, answer }).await.is_err() {
            return;
        }
    }
}
