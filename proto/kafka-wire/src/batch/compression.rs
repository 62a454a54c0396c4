//! Kafka's four codecs, with a cap on what they may become.
//!
//! Framing as Kafka's Java client reads and writes it: gzip and zstd streams, lz4 frames of independent blocks,
//! snappy in xerial's framing (`0x82 SNAPPY 0`, two versions, then blocks behind their length); raw snappy is
//! read too, for clients that send it.

use super::BatchError;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use millstream_model::limits::BATCH_DECOMPRESSED_BYTES_MAX;
use std::io::{self, Read, Write};

/// How a batch's records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Compression {
    /// Not at all.
    #[default]
    None = 0,
    /// gzip.
    Gzip = 1,
    /// Snappy.
    Snappy = 2,
    /// LZ4.
    Lz4 = 3,
    /// Zstandard.
    Zstd = 4,
}

impl Compression {
    /// Every codec.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The codec with this number in the attributes.
    pub fn from_number(number: u8) -> Option<Compression> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number in the attributes.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Its name in Kafka's settings, `zstd`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The codec with this name in Kafka's settings (`uncompressed` is another name of `none`).
    pub fn from_name(name: &str) -> Option<Compression> {
        match name {
            "uncompressed" => Some(Compression::None),
            name => Self::ALL.into_iter().find(|codec| codec.name() == name),
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// Bytes in one block of snappy, as xerial cuts them.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// A block of snappy cannot unfold further: its longest copy is 64 bytes and takes three.
const SNAPPY_RATIO_MAX: usize = 22;

/// A zstd frame that asks for a larger window asks for more than a batch may become.
const ZSTD_WINDOW_LOG_MAX: u32 = BATCH_DECOMPRESSED_BYTES_MAX.ilog2();

/// Kafka's default level.
const ZSTD_LEVEL: i32 = 3;

pub(super) fn compress(codec: Compression, bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
    let packed = match codec {
        Compression::None => Ok(bytes.to_vec()),
        Compression::Gzip => gzip(bytes),
        Compression::Snappy => snappy(bytes),
        Compression::Lz4 => lz4(bytes),
        Compression::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
    };
    packed.map_err(|error| BatchError::Compressed {
        codec,
        reason: error.to_string(),
    })
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn lz4(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // Kafka's Java client refuses blocks that depend on one another.
    let frame = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(bytes)?;
    encoder.finish().map_err(io::Error::other)
}

fn snappy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(XERIAL_HEADER_BYTES + bytes.len() / 2);
    out.extend_from_slice(XERIAL_MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(XERIAL_BLOCK_BYTES) {
        let packed = encoder.compress_vec(block).map_err(io::Error::other)?;
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}

/// The records of a batch; uncompressed ones are handed back as they are.
pub(super) fn decompress(codec: Compression, bytes: Bytes) -> Result<Bytes, BatchError> {
    let corrupt = |error: io::Error| BatchError::Compressed {
        codec,
        reason: error.to_string(),
    };
    let packed = &bytes[..];
    match codec {
        Compression::None => Ok(bytes),
        Compression::Gzip => read_capped(MultiGzDecoder::new(packed), packed.len(), corrupt),
        Compression::Lz4 => read_capped(FrameDecoder::new(packed), packed.len(), corrupt),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(corrupt)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
            read_capped(decoder, packed.len(), corrupt)
        }
        Compression::Snappy => unsnappy(packed),
    }
}

fn read_capped(
    decoder: impl Read,
    packed_bytes: usize,
    corrupt: impl Fn(io::Error) -> BatchError,
) -> Result<Bytes, BatchError> {
    let cap = BATCH_DECOMPRESSED_BYTES_MAX;
    let mut out = Vec::with_capacity(packed_bytes.saturating_mul(3).min(cap));
    decoder
        .take(cap as u64 + 1)
        .read_to_end(&mut out)
        .map_err(corrupt)?;
    if out.len() > cap {
        return Err(BatchError::Bomb);
    }
    Ok(Bytes::from(out))
}

fn unsnappy(packed: &[u8]) -> Result<Bytes, BatchError> {
    let mut out = Vec::new();
    if !packed.starts_with(XERIAL_MAGIC) {
        snappy_block(packed, &mut out)?;
        return Ok(Bytes::from(out));
    }
    let mut rest = packed
        .get(XERIAL_HEADER_BYTES..)
        .ok_or_else(|| snappy_fault("the header is cut off"))?;
    while !rest.is_empty() {
        let (length, behind) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| snappy_fault("a length is cut off"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, behind) = behind
            .split_at_checked(length)
            .ok_or_else(|| snappy_fault("a block is cut off"))?;
        snappy_block(block, &mut out)?;
        rest = behind;
    }
    Ok(Bytes::from(out))
}

fn snappy_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    let length = snap::raw::decompress_len(block).map_err(|error| snappy_fault(&error.to_string()))?;
    if length / SNAPPY_RATIO_MAX > block.len() {
        return Err(snappy_fault("a block claims more than it can hold"));
    }
    let start = out.len();
    if start.saturating_add(length) > BATCH_DECOMPRESSED_BYTES_MAX {
        return Err(BatchError::Bomb);
    }
    out.resize(start + length, 0);
    snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(|error| snappy_fault(&error.to_string()))?;
    Ok(())
}

fn snappy_fault(reason: &str) -> BatchError {
    BatchError::Compressed {
        codec: Compression::Snappy,
        reason: reason.to_owned(),
    }
}
