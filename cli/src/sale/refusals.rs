//! Counts refused requests for holds. The counts come from the ingresses, because workers never see requests that an ingress
//! refuses from its product cache.

use std::collections::{BTreeMap, HashMap};

use async_nats::{Client, Subject, Subscriber};
use futures_util::{FutureExt, StreamExt};
use holdfast_common::messages::hold_responses::HoldResponseCounts;
use holdfast_common::messages::reply::IngressId;
use holdfast_common::messages::wire::Message as _;
use holdfast_common::settings::LogLayout;

/// Responses with this status or a higher one are refusals.
const REFUSED_STATUS_MIN: u16 = 400;

/// Requests the counts of all ingresses each second, and subtracts the counts of the second before.
pub(super) struct RefusalCounter {
    nats: Client,
    subject: Subject,
    inbox: Subject,
    replies: Subscriber,
    /// The last reply of each ingress: responses by status since its start.
    counts: HashMap<IngressId, Vec<(u16, u64)>>,
}

impl RefusalCounter {
    pub(super) async fn subscribe(nats: Client, layout: &LogLayout) -> anyhow::Result<Self> {
        let inbox = Subject::from(nats.new_inbox());
        let replies = nats.subscribe(inbox.clone()).await?;
        Ok(Self {
            subject: layout.subjects.hold_responses().into(),
            nats,
            inbox,
            replies,
            counts: HashMap::new(),
        })
    }

    /// Returns the refusals by status since the last call, from the replies that have arrived, and requests the next replies.
    /// The first reply of an ingress adds nothing, because there is no earlier count.
    pub(super) async fn next_second(&mut self) -> anyhow::Result<BTreeMap<u16, u64>> {
        let mut refused = BTreeMap::new();
        while let Some(Some(message)) = self.replies.next().now_or_never() {
            // NATS reports "no responders" with a message that has no body.
            let Ok(HoldResponseCounts { ingress, holds }) =
                HoldResponseCounts::decode(&message.payload)
            else {
                continue;
            };
            if let Some(before) = self.counts.get(&ingress) {
                let refusals = holds
                    .iter()
                    .filter(|(status, _)| *status >= REFUSED_STATUS_MIN);
                for (status, count) in refusals {
                    let earlier = before
                        .iter()
                        .find(|(other, _)| other == status)
                        .map_or(0, |(_, count)| *count);
                    *refused.entry(*status).or_default() += count.saturating_sub(earlier);
                }
            }
            self.counts.insert(ingress, holds);
        }
        self.nats
            .publish_with_reply(self.subject.clone(), self.inbox.clone(), Vec::new().into())
            .await?;
        Ok(refused)
    }
}
