//! The settings of a worker process.

use std::time::Duration;

use clap::Args;
use holdfast_common::domain::Policy;
use holdfast_common::settings::{
    EncryptionSettings, HoldSettings, LatePayment, NatsSettings, PostgresSettings, WorkerSettings,
};

#[derive(Args, Clone, Debug)]
pub struct Settings {
    #[command(flatten)]
    pub postgres: PostgresSettings,
    #[command(flatten)]
    pub nats: NatsSettings,
    #[command(flatten)]
    pub holds: HoldSettings,
    #[command(flatten)]
    pub worker: WorkerSettings,
    #[command(flatten)]
    pub encryption: EncryptionSettings,
}

impl Settings {
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            hold_expiry_seconds: self.holds.hold_expiry_seconds,
            order_payment_seconds: self.worker.order_payment_seconds,
            reallocate_late_payments: self.worker.late_payment == LatePayment::Reallocate,
            idempotency_key_ttl_seconds: self.holds.idempotency_key_ttl,
        }
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.worker.partition_lease_ms.into())
    }
}
