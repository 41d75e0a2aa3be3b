//! Replicas of this process, for tests without a browser. They have answered when they are looked at for the fifth time.

use std::cell::Cell;

use futures_channel::mpsc::UnboundedSender;
use inkling_core::train::{Crew, Replica};

use super::Duty;
use crate::worker::Incoming;
use crate::worker::model::MEMORY;

/// See the module.
pub struct Local {
    members: Vec<(Duty, Option<Replica>)>,
    messages: Vec<Vec<u32>>,
    looks: Cell<u32>,
    wake: UnboundedSender<Incoming>,
}

impl Local {
    pub fn start(duties: impl Iterator<Item = Duty>, wake: &UnboundedSender<Incoming>) -> Self {
        let members: Vec<_> = duties.map(|duty| (duty, None)).collect();
        Self { messages: vec![Vec::new(); members.len()], members, looks: Cell::default(), wake: wake.clone() }
    }
}

impl Crew for Local {
    fn replicas(&self) -> usize {
        self.members.len()
    }

    fn send(&mut self, rank: usize, message: &[u32]) {
        self.messages[rank] = message.to_vec();
        self.looks.set(0);
        // Nobody listens where a test looks by itself.
        let _ = self.wake.unbounded_send(Incoming::Replica);
    }

    fn is_done(&self) -> bool {
        self.looks.set(self.looks.get() + 1);
        self.looks.get() >= 5
    }

    fn receive(&mut self, rank: usize, answer: &mut [u32]) -> Result<(), String> {
        let (Duty { model, train, replicas, .. }, replica) = &mut self.members[rank];
        let replica = match replica {
            Some(replica) => replica,
            None => replica
                .insert(Replica::new(model, train, rank, *replicas, MEMORY).map_err(|problem| problem.to_string())?),
        };
        answer.copy_from_slice(&self.messages[rank]);
        pollster::block_on(replica.answer(answer)).map_err(|problem| problem.to_string())
    }

    fn abandon(&mut self) {}
}
