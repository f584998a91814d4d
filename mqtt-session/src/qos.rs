//! Every transition of an exchange, pure, over small enums.
//!
//! Outgoing, from the session's point of view (`→` is sent, `←` received):
//!
//! ```text
//!            → PUBLISH q1                ← PUBACK
//!  Queued ───────────────▶ AwaitPuback ───────────▶ ended
//!    │       → PUBLISH q2               ← PUBREC < 0x80               ← PUBCOMP
//!    ├───────────────────▶ AwaitPubrec ───────────▶ AwaitPubcomp ───────────▶ ended
//!    │                          └── ← PUBREC ≥ 0x80 ─▶ ended (refused)
//!    │       → SUBSCRIBE                ← SUBACK
//!    ├───────────────────▶ AwaitSuback ───────────▶ ended
//!    │       → UNSUBSCRIBE              ← UNSUBACK
//!    └───────────────────▶ AwaitUnsuback ─────────▶ ended
//! ```
//!
//! Inbound QoS 2, per packet identifier:
//!
//! ```text
//!             ← PUBLISH: deliver          acknowledged: → PUBREC           ← PUBREL: → PUBCOMP
//!  (nothing) ──────────────────▶ Delivered ──────────────▶ Received ───────────────▶ (nothing)
//!                    ← PUBLISH again: nothing     ← PUBLISH again: → PUBREC, no delivery
//! ```
//!
//! With a journal there are steps between: see `inbound/records.rs`. A message that is refused ends with PUBREC: see
//! `inbound/refusals.rs`.

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub(crate) enum Stage {
    /// Accepted; holds no packet identifier unless it was sent on an earlier connection.
    #[default]
    Queued,
    /// PUBLISH at QoS 0 handed out, its last byte not yet taken.
    Sending,
    /// PUBLISH at QoS 1 handed out.
    AwaitPuback,
    /// PUBLISH at QoS 2 handed out.
    AwaitPubrec,
    /// PUBREC received: PUBLISH must never be sent again, PUBREL is owed or sent.
    AwaitPubcomp,
    /// SUBSCRIBE handed out.
    AwaitSuback,
    /// UNSUBSCRIBE handed out.
    AwaitUnsuback,
    /// SUBSCRIBE that ended well, remembered to be made again.
    Held,
    /// Over; its `Done` waits to be fetched.
    Ended,
}

impl Stage {
    /// A PUBLISH at QoS 1 or 2 that was handed out.
    pub(crate) const fn is_publish(self) -> bool {
        matches!(self, Self::AwaitPuback | Self::AwaitPubrec)
    }
}

/// What answers an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Puback,
    /// PUBREC with a reason code below 0x80.
    Pubrec,
    /// PUBREC with a reason code of 0x80 or above.
    PubrecFailed,
    Pubcomp,
    Suback,
    Unsuback,
}

/// What an answer does to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// It has ended, and its packet identifier is free.
    Complete,
    /// It moves to `AwaitPubcomp` and PUBREL is owed.
    Release,
    /// PUBREL is owed once more; nothing else changes.
    ReleaseAgain,
    /// The answer belongs to no open exchange: nothing changes.
    Unexpected,
    /// The peer confused this exchange with another: the connection ends, and a resume repairs it.
    Confused,
    /// The peer broke the exchange: it ends, and so does the connection.
    Violation,
}

/// The answer's effect on an operation whose packet identifier it carries.
pub(crate) const fn answered(stage: Stage, answer: Answer) -> Reaction {
    match (stage, answer) {
        // [MQTT-4.3.2-3]: PUBACK ends the exchange.
        (Stage::AwaitPuback, Answer::Puback)
        // A PUBREC of 0x80 or above ends the exchange too: [MQTT-4.3.3-4] asks for PUBREL only below.
        | (Stage::AwaitPubrec, Answer::PubrecFailed)
        | (Stage::AwaitPubcomp, Answer::Pubcomp)
        | (Stage::AwaitSuback, Answer::Suback)
        | (Stage::AwaitUnsuback, Answer::Unsuback) => Reaction::Complete,
        // [MQTT-4.3.3-4]
        (Stage::AwaitPubrec, Answer::Pubrec) => Reaction::Release,
        (Stage::AwaitPubcomp, Answer::Pubrec) => Reaction::ReleaseAgain,
        // A QoS 2 PUBLISH answered by PUBACK: the server took it, but not as promised.
        (Stage::AwaitPubrec, Answer::Puback) => Reaction::Violation,
        // A QoS 1 PUBLISH is answered by PUBACK and nothing else. [MQTT-4.3.2-3]
        (Stage::AwaitPuback, Answer::Pubrec | Answer::PubrecFailed) => Reaction::Confused,
        // A SUBACK that answers a PUBLISH, or the other way round, completes nothing.
        (_, Answer::Suback | Answer::Unsuback) => Reaction::Violation,
        _ => Reaction::Unexpected,
    }
}

/// Where a publish stands that an answer moves on as it should; `None`: it is no answer to a publish, or refuses it.
pub(crate) const fn awaits(answer: Answer) -> Option<Stage> {
    match answer {
        Answer::Puback => Some(Stage::AwaitPuback),
        Answer::Pubrec => Some(Stage::AwaitPubrec),
        Answer::Pubcomp => Some(Stage::AwaitPubcomp),
        _ => None,
    }
}

/// Where an inbound exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub(crate) enum Phase {
    /// No exchange.
    #[default]
    Free,
    /// QoS 1, handed to the application, which has not acknowledged it.
    Delivered1,
    /// QoS 1, acknowledged out of turn: its PUBACK waits for those before it.
    Acked1,
    /// QoS 2, handed to the application, which has not acknowledged it.
    Delivered2,
    /// QoS 2, acknowledged out of turn: its PUBREC waits for those before it.
    Acked2,
    /// QoS 2, PUBREC owed or sent: PUBREL ends it.
    Received,
    /// QoS 2, refused (5.0): over once PUBREC has left.
    Refusing,
    /// QoS 2, refused, and PUBREC has not left: it is refused again when it comes again.
    Refused,
    /// QoS 2, its record is on its way into the journal.
    Storing,
    /// QoS 2, recorded: PUBREC waits for its turn.
    Stored,
    /// QoS 2, over: its record is to be deleted.
    Leaving,
    /// QoS 2, over and deleted: PUBCOMP is owed.
    Gone,
}

/// What a QoS 2 PUBLISH asks for, given the exchange of its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A new message.
    Deliver,
    /// Known and answered before: PUBREC again, no delivery.
    AnswerAgain,
    /// Known, and not to be answered yet.
    Wait,
}

/// [MQTT-4.3.3-10]: until PUBREL, a PUBLISH with the same identifier is the same message.
pub(crate) const fn arrived(phase: Phase) -> Arrival {
    match phase {
        Phase::Received | Phase::Refused | Phase::Leaving => Arrival::AnswerAgain,
        Phase::Delivered2 | Phase::Acked2 | Phase::Refusing | Phase::Storing | Phase::Stored => Arrival::Wait,
        Phase::Free | Phase::Delivered1 | Phase::Acked1 | Phase::Gone => Arrival::Deliver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 9] = [
        Stage::Queued,
        Stage::Sending,
        Stage::AwaitPuback,
        Stage::AwaitPubrec,
        Stage::AwaitPubcomp,
        Stage::AwaitSuback,
        Stage::AwaitUnsuback,
        Stage::Held,
        Stage::Ended,
    ];
    const ANSWERS: [Answer; 6] = [
        Answer::Puback,
        Answer::Pubrec,
        Answer::PubrecFailed,
        Answer::Pubcomp,
        Answer::Suback,
        Answer::Unsuback,
    ];

    #[test]
    fn every_pair_of_stage_and_answer_has_its_one_reaction() {
        use Reaction::{
            Complete as C, Confused as X, Release as R, ReleaseAgain as A, Unexpected as U, Violation as V,
        };
        #[rustfmt::skip]
        let table = [
            // PUBACK PUBREC failed PUBCOMP SUBACK UNSUBACK
            [U, U, U, U, V, V], // Queued
            [U, U, U, U, V, V], // Sending
            [C, X, X, U, V, V], // AwaitPuback
            [V, R, C, U, V, V], // AwaitPubrec
            [U, A, U, C, V, V], // AwaitPubcomp
            [U, U, U, U, C, V], // AwaitSuback
            [U, U, U, U, V, C], // AwaitUnsuback
            [U, U, U, U, V, V], // Held
            [U, U, U, U, V, V], // Ended
        ];
        for (stage, row) in STAGES.into_iter().zip(table) {
            for (answer, want) in ANSWERS.into_iter().zip(row) {
                assert_eq!(answered(stage, answer), want, "{stage:?} {answer:?}");
            }
        }
    }

    #[test]
    fn an_answer_to_a_publish_moves_on_the_one_stage_that_awaits_it() {
        for answer in [Answer::Puback, Answer::Pubrec, Answer::Pubcomp] {
            let moves =
                |stage: &Stage| matches!(answered(*stage, answer), Reaction::Complete | Reaction::Release);
            let moved: Vec<Stage> = STAGES.into_iter().filter(moves).collect();
            assert_eq!(moved, Vec::from_iter(awaits(answer)), "{answer:?}");
        }
    }

    #[test]
    fn every_phase_has_its_one_answer_to_a_publish() {
        use Phase::{
            Acked1, Acked2, Delivered1, Delivered2, Free, Gone, Leaving, Received, Refused, Refusing, Stored,
            Storing,
        };
        for (phase, want) in [
            (Free, Arrival::Deliver),
            (Delivered1, Arrival::Deliver),
            (Acked1, Arrival::Deliver),
            (Delivered2, Arrival::Wait),
            (Acked2, Arrival::Wait),
            (Received, Arrival::AnswerAgain),
            (Refusing, Arrival::Wait),
            (Refused, Arrival::AnswerAgain),
            (Storing, Arrival::Wait),
            (Stored, Arrival::Wait),
            (Leaving, Arrival::AnswerAgain),
            (Gone, Arrival::Deliver),
        ] {
            assert_eq!(arrived(phase), want, "{phase:?}");
        }
    }
}
