//! The outgoing stream: packets encoded into a bounded buffer, and at most one large payload lent from
//! where it is kept, in the middle of them.

/// A payload that is handed out from where it is kept.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Lent {
    /// The operation it belongs to.
    pub(crate) slot: u32,
    /// Bytes of it the transport took.
    pub(crate) taken: usize,
    /// Its length.
    len: usize,
    /// Where in the buffer it belongs.
    at: usize,
}

#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Wire {
    /// First byte in the buffer that the transport has not taken.
    start: usize,
    /// End of the packets in the buffer.
    end: usize,
    lent: Option<Lent>,
    /// Bytes the transport took on this connection.
    taken: u64,
}

impl Wire {
    pub(crate) const fn new() -> Self {
        Self { start: 0, end: 0, lent: None, taken: 0 }
    }

    /// Bytes the transport took on this connection.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    pub(crate) const fn lent(&self) -> Option<&Lent> {
        self.lent.as_ref()
    }

    /// Bytes handed out and not taken.
    #[inline(always)]
    pub(crate) fn pending(&self) -> usize {
        // `start` never passes `end`, nor `taken` `len`.
        let here = self.end.wrapping_sub(self.start);
        match &self.lent {
            None => here,
            Some(lent) => here.wrapping_add(lent.len.wrapping_sub(lent.taken)),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end && self.lent.is_none()
    }

    /// Where in this connection's stream the next packet begins.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.taken.wrapping_add(self.pending() as u64)
    }

    /// The free end of the buffer, after moving what is pending to its start where that is needed to
    /// have `want` bytes free.
    #[inline(always)]
    pub(crate) fn space<'b>(&mut self, buffer: &'b mut [u8], want: usize) -> &'b mut [u8] {
        if self.start != 0 && buffer.len().saturating_sub(self.end) < want && self.end <= buffer.len() {
            self.move_to_start(buffer);
        }
        buffer.get_mut(self.end..).unwrap_or_default()
    }

    #[cold]
    fn move_to_start(&mut self, buffer: &mut [u8]) {
        buffer.copy_within(self.start..self.end, 0);
        if let Some(lent) = &mut self.lent {
            lent.at = lent.at.saturating_sub(self.start);
        }
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
    }

    /// `len` bytes of packets were written to the free end.
    #[inline]
    pub(crate) fn written(&mut self, len: usize) {
        self.end = self.end.wrapping_add(len);
    }

    /// A payload of `len` bytes, kept for `slot`, follows what is in the buffer. Only one at a time.
    pub(crate) fn lend(&mut self, slot: u32, len: usize) {
        self.lent = Some(Lent { slot, taken: 0, len, at: self.end });
    }

    /// What is handed out, in order; `payload` is the lent one.
    pub(crate) fn chunks<'b>(&self, buffer: &'b [u8], payload: &'b [u8]) -> [&'b [u8]; 3] {
        match &self.lent {
            None => [buffer.get(self.start..self.end).unwrap_or_default(), &[], &[]],
            Some(lent) => [
                buffer.get(self.start..lent.at).unwrap_or_default(),
                payload.get(lent.taken..lent.len).unwrap_or_default(),
                buffer.get(lent.at..self.end).unwrap_or_default(),
            ],
        }
    }

    /// The transport took `count` bytes; more than are pending count as all.
    pub(crate) fn advance(&mut self, count: usize) {
        let mut left = count.min(self.pending());
        self.taken = self.taken.saturating_add(left as u64);
        if let Some(lent) = &mut self.lent {
            let before = left.min(lent.at.saturating_sub(self.start));
            self.start = self.start.saturating_add(before);
            left = left.saturating_sub(before);
            if self.start == lent.at {
                let part = left.min(lent.len.saturating_sub(lent.taken));
                lent.taken = lent.taken.saturating_add(part);
                left = left.saturating_sub(part);
                if lent.taken == lent.len {
                    self.lent = None;
                }
            }
        }
        self.start = self.start.saturating_add(left);
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
    }

    /// A new connection: nothing is handed out, nothing was taken.
    pub(crate) const fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the pieces in which the stream is taken, it is the same stream.
    #[test]
    fn a_lent_payload_lies_between_the_packets_around_it_for_every_partial_write() {
        let payload = b"PAYLOAD";
        for step in 1..20 {
            let mut buffer = vec![0u8; 16];
            let mut wire = Wire::new();
            wire.space(&mut buffer, 4)[..4].copy_from_slice(b"head");
            wire.written(4);
            wire.lend(3, payload.len());
            wire.space(&mut buffer, 4)[..4].copy_from_slice(b"tail");
            wire.written(4);
            let mut out = Vec::new();
            while !wire.is_empty() {
                let chunks = wire.chunks(&buffer, payload);
                let chunk = *chunks.iter().find(|chunk| !chunk.is_empty()).unwrap();
                let count = chunk.len().min(step);
                out.extend_from_slice(&chunk[..count]);
                wire.advance(count);
            }
            assert_eq!(out, b"headPAYLOADtail", "step {step}");
            assert_eq!(wire.taken(), 15);
        }
    }

    /// A lent payload keeps its place between them.
    #[test]
    fn bytes_around_a_lent_payload_move_together() {
        let mut buffer = vec![0u8; 8];
        let mut wire = Wire::new();
        wire.space(&mut buffer, 4)[..4].copy_from_slice(b"head");
        wire.written(4);
        wire.lend(3, 7);
        wire.advance(2);
        let room = wire.space(&mut buffer, 6);
        assert_eq!(room.len(), 6);
        room[..4].copy_from_slice(b"tail");
        wire.written(4);
        assert_eq!(wire.chunks(&buffer, b"PAYLOAD").concat(), b"adPAYLOADtail");
        wire.advance(5);
        assert_eq!(wire.chunks(&buffer, b"PAYLOAD").concat(), b"LOADtail");
        assert_eq!((wire.pending(), wire.taken(), wire.position()), (8, 7, 15));
    }

    #[test]
    fn pending_bytes_move_to_the_start_only_when_room_is_needed() {
        let mut buffer = vec![0u8; 8];
        let mut wire = Wire::new();
        wire.space(&mut buffer, 6)[..6].copy_from_slice(b"abcdef");
        wire.written(6);
        wire.advance(4);
        assert_eq!(wire.space(&mut buffer, 2).len(), 2);
        assert_eq!(wire.space(&mut buffer, 5).len(), 6);
        assert_eq!(wire.chunks(&buffer, &[])[0], b"ef");
    }
}
