//! Who wanted a hold and got none, as every ingress counts it: the workers see nothing of what is refused from memory.

use std::collections::{BTreeMap, HashMap};

use async_nats::{Client, Subject, Subscriber};
use futures_util::{FutureExt, StreamExt};
use holdfast_common::messages::answer_counts::Answers;
use holdfast_common::messages::reply::IngressId;
use holdfast_common::messages::wire::Message as _;
use holdfast_common::settings::LogLayout;

/// A refusal's status from here on.
const REFUSED: u16 = 400;

/// Asks, and adds up what is heard.
pub(super) struct Refused {
    nats: Client,
    subject: Subject,
    inbox: Subject,
    heard: Subscriber,
    counts: HashMap<IngressId, Vec<(u16, u64)>>,
}

impl Refused {
    pub(super) async fn listen(nats: Client, layout: &LogLayout) -> anyhow::Result<Self> {
        let (subject, inbox) = (
            layout.subjects.answers().into(),
            Subject::from(nats.new_inbox()),
        );
        let heard = nats.subscribe(inbox.clone()).await?;
        Ok(Self {
            nats,
            subject,
            inbox,
            heard,
            counts: HashMap::new(),
        })
    }

    /// How many were refused by each status since the turn before, as far as ingresses have told; asks for the next turn.
    /// An ingress that is heard first has nothing to compare with.
    pub(super) async fn turn(&mut self) -> anyhow::Result<BTreeMap<u16, u64>> {
        let mut risen = BTreeMap::new();
        while let Some(Some(message)) = self.heard.next().now_or_never() {
            // "No responders" is a message without a body.
            let Ok(Answers { ingress, holds }) = Answers::decode(&message.payload) else {
                continue;
            };
            if let Some(before) = self.counts.get(&ingress) {
                for (status, count) in holds.iter().filter(|(status, _)| *status >= REFUSED) {
                    let earlier = before
                        .iter()
                        .find(|(other, _)| other == status)
                        .map_or(0, |(_, count)| *count);
                    *risen.entry(*status).or_default() += count.saturating_sub(earlier);
                }
            }
            self.counts.insert(ingress, holds);
        }
        self.nats
            .publish_with_reply(self.subject.clone(), self.inbox.clone(), Vec::new().into())
            .await?;
        Ok(risen)
    }
}
