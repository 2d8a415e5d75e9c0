//! What an operator asks of every ingress's memory, over core NATS.
//!
//! Products in memory are only shown, and may say no; they grant nothing. So to forget or to read them is always safe, and a
//! request that is lost does no harm: who asked hears fewer answers.

use serde::{Deserialize, Serialize};

use crate::id::ProductId;
use crate::reply::IngressId;
use crate::wire::{self, DecodeError};

const VERSION: u8 = 1;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Forget every product; each is read again when somebody asks for it.
    Clear,
    /// Read a product, or all of them, ahead of those who will ask.
    Warm(Option<ProductId>),
}

/// What one ingress has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Which ingress.
    pub ingress: IngressId,
    /// How many products it has forgotten or read; `None` when Postgres failed.
    pub products: Option<u64>,
}

impl Request {
    /// The message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self, VERSION)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When its version is unknown or it is damaged.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(message, VERSION)
    }
}

impl Done {
    /// The message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self, VERSION)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When its version is unknown or it is damaged.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(message, VERSION)
    }
}
