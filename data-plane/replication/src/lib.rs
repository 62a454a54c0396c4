//! One replica group's log as a pure machine: leader, followers, epoch, ISR, high watermark.
