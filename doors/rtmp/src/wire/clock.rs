//! Timestamps of 32 bits become a clock that goes on behind their end.

/// Makes 64 bits out of 32: a message is taken to be less than 2³¹ ms (24.8 days) before or after the one before it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Clock {
    last: Option<i64>,
}

impl Clock {
    /// When this is, in milliseconds on the sender's clock, without end.
    pub fn unwrap(&mut self, timestamp: u32) -> i64 {
        let at = self.peek(timestamp);
        self.last = Some(at);
        at
    }

    /// As [`unwrap`](Self::unwrap), for a message whose timestamp may be anything and says nothing about those that
    /// follow: many encoders put data messages at 0.
    #[must_use]
    pub fn peek(&self, timestamp: u32) -> i64 {
        let Some(last) = self.last else { return timestamp.into() };
        // The low half of the last one: what the sender had said.
        let low = last as u32;
        last + i64::from(timestamp.wrapping_sub(low).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_behind_the_end_of_32_bits() {
        let mut clock = Clock::default();
        assert_eq!(clock.unwrap(u32::MAX - 20), i64::from(u32::MAX) - 20);
        assert_eq!(clock.unwrap(u32::MAX - 30), i64::from(u32::MAX) - 30);
        assert_eq!(clock.unwrap(9), (1 << 32) + 9);
        assert_eq!(clock.unwrap(u32::MAX), i64::from(u32::MAX));
        assert_eq!(clock.unwrap(40), (1 << 32) + 40);
        assert_eq!(clock.peek(0), 1 << 32);
        assert_eq!(clock.unwrap(80), (1 << 32) + 80);
    }

    #[test]
    fn the_first_one_stands_as_it_is() {
        assert_eq!(Clock::default().unwrap(u32::MAX), i64::from(u32::MAX));
        assert_eq!(Clock::default().peek(7), 7);
    }
}
