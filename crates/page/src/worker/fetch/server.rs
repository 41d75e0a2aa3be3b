//! What gives bytes by their address.

use super::last;
use crate::protocol::Failure;
use crate::worker::model::size;

/// Why a file did not come.
#[cfg_attr(not(any(test, target_family = "wasm")), expect(dead_code, reason = "only a browser has a network"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server has none.
    Missing,
    /// The server says so.
    Status(u16),
    /// No answer, or not to the end.
    Unreachable(String),
    /// More bytes than can be held.
    TooLarge {
        /// So many, or more.
        bytes: u64,
        /// What can be held.
        most: u64,
    },
}

/// What caches on the way may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Give what they have, as long as it is to be kept.
    Usual,
    /// Give what they have if the server says that it is still so.
    Confirmed,
    /// Nothing.
    Never,
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
            Self::TooLarge { bytes, most } => Failure::memory(format!(
                "{address} is too large: it has at least {}, and there is room for {}.",
                size(*bytes),
                size(*most)
            )),
        }
    }
}

/// The network, or a test's stand-in.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Server {
    /// A file. `heard` learns of each piece: bytes so far, and in all if known. Never gives more than `most` bytes.
    async fn get(
        &self,
        address: &str,
        caching: Caching,
        most: u64,
        heard: &dyn Fn(u64, Option<u64>),
    ) -> Result<Vec<u8>, Refusal>;

    /// Whether an address leads to the page's own host.
    fn is_ours(&self, address: &str) -> bool;

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
    async fn get(&self, _: &str, _: Caching, _: u64, _: &dyn Fn(u64, Option<u64>)) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::Unreachable("there is no network here".into()))
    }

    fn is_ours(&self, _: &str) -> bool {
        true
    }

    async fn pause(&self, _: u32) -> bool {
        false
    }

    async fn kept(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    async fn keep(&self, _: &str, _: &[u8]) {}
}
