//! What gives bytes by their address.

use super::last;
use crate::protocol::Failure;

/// Why a file did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server has none.
    Missing,
    /// The server says so.
    Status(u16),
    /// No answer, or not to the end.
    Unreachable(String),
    /// More bytes than can be held.
    TooLarge(u64),
}

impl Refusal {
    /// Whether another try may go better.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Status(408 | 425 | 429 | 500..))
    }

    /// As a sentence.
    pub fn failure(&self, address: &str) -> Failure {
        match self {
            Self::Missing => Failure::network(format!("There is no {} at {address}.", last(address))),
            Self::Status(status) => {
                Failure::network(format!("The server refuses {address}: it answers with status {status}."))
            }
            Self::Unreachable(problem) => Failure::network(format!(
                "{address} could not be fetched ({problem}). The connection may be down, or the server does not let other \
                 sites' pages read it."
            )),
            Self::TooLarge(bytes) => super::download::too_large(*bytes),
        }
    }
}

/// The network, or a test's stand-in.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Server {
    /// A file. `heard` learns of each piece: bytes so far, and in all if known. Never gives more than `most` bytes. `fresh` passes caches on
    /// the way by.
    async fn get(
        &self,
        address: &str,
        fresh: bool,
        most: u64,
        heard: &dyn Fn(u64, Option<u64>),
    ) -> Result<Vec<u8>, Refusal>;

    /// Lets some time go by before another try. False if there is no connection, so that a try is in vain.
    async fn pause(&self, milliseconds: u32) -> bool;

    /// What was kept on an earlier visit.
    async fn kept(&self, key: &str) -> Option<Vec<u8>>;

    /// Keeps a file for later visits, if the browser does such things.
    async fn keep(&self, key: &str, bytes: &[u8]);
}

/// No network: what there is outside of a browser.
#[cfg(not(target_family = "wasm"))]
pub struct Nowhere;

#[cfg(not(target_family = "wasm"))]
impl Server for Nowhere {
    async fn get(&self, _: &str, _: bool, _: u64, _: &dyn Fn(u64, Option<u64>)) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::Unreachable("there is no network here".into()))
    }

    async fn pause(&self, _: u32) -> bool {
        false
    }

    async fn kept(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    async fn keep(&self, _: &str, _: &[u8]) {}
}
