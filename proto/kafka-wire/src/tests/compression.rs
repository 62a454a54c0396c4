//! Codecs: framings that clients send, and bombs.

use crate::batch::{BatchBuilder, BatchError, BatchView, Compression, HEADER_BYTES, NewRecord};
use bytes::Bytes;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use millstream_model::limits::BATCH_DECOMPRESSED_BYTES_MAX;
use std::io::Write;

/// A batch whose records are these bytes, whatever they are.
fn batch_of(codec: Compression, packed: &[u8]) -> BatchView {
    let mut builder = BatchBuilder::new().compression(codec);
    builder.push(NewRecord::default()).unwrap();
    let mut all = builder.build().unwrap()[..HEADER_BYTES].to_vec();
    all.extend_from_slice(packed);
    let length = (all.len() - 12) as i32;
    all[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crate::batch::crc_of(&all[21..]);
    all[17..21].copy_from_slice(&crc.to_be_bytes());
    let batch = BatchView::read(all.into()).unwrap();
    batch.check().unwrap();
    batch
}

#[test]
fn names_and_numbers() {
    for codec in Compression::ALL {
        assert_eq!(Compression::from_number(codec.number()), Some(codec));
        assert_eq!(Compression::from_name(codec.name()), Some(codec));
    }
    assert_eq!(Compression::from_name("uncompressed"), Some(Compression::None));
    assert_eq!(Compression::from_name("producer"), None);
    assert_eq!(Compression::from_number(5), None);
}

/// More zeros than a batch may become, written in pieces.
fn zeros(mut out: impl Write) {
    let piece = vec![0u8; 1024 * 1024];
    for _ in 0..=BATCH_DECOMPRESSED_BYTES_MAX / piece.len() {
        out.write_all(&piece).unwrap();
    }
}

fn assert_bomb(codec: Compression, packed: &[u8]) {
    assert_eq!(
        batch_of(codec, packed).records().unwrap_err(),
        BatchError::Bomb,
        "{codec}"
    );
}

#[test]
fn a_zstd_bomb() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    zeros(&mut encoder);
    assert_bomb(Compression::Zstd, &encoder.finish().unwrap());
}

#[test]
fn a_gzip_bomb() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zeros(&mut encoder);
    assert_bomb(Compression::Gzip, &encoder.finish().unwrap());
}

#[test]
fn an_lz4_bomb() {
    // One block of 4 MiB, repeated: header 7 bytes, blocks behind their length, an end of 4 bytes.
    let frame = FrameInfo::new().block_size(BlockSize::Max4MB);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    let pattern: Vec<u8> = (0..4096u32).map(|number| (number * number / 5) as u8).collect();
    let block = pattern.repeat(1024);
    encoder.write_all(&block).unwrap();
    let once = encoder.finish().unwrap();
    let (header, rest) = once.split_at(7);
    let (packed, end) = rest.split_at(rest.len() - 4);
    let bomb = [
        header,
        &packed.repeat(BATCH_DECOMPRESSED_BYTES_MAX / block.len() + 1),
        end,
    ]
    .concat();
    assert_bomb(Compression::Lz4, &bomb);
}

#[test]
fn a_snappy_bomb() {
    let zeros = vec![0; BATCH_DECOMPRESSED_BYTES_MAX + 1];
    assert_bomb(
        Compression::Snappy,
        &snap::raw::Encoder::new().compress_vec(&zeros).unwrap(),
    );
}

#[test]
fn a_zstd_window_larger_than_a_batch_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(b"small").unwrap();
    let packed = encoder.finish().unwrap();
    let found = batch_of(Compression::Zstd, &packed).records().unwrap_err();
    assert!(
        matches!(
            found,
            BatchError::Compressed {
                codec: Compression::Zstd,
                ..
            }
        ),
        "{found}"
    );
}

#[test]
fn garbage_is_corrupt() {
    for codec in &Compression::ALL[1..] {
        let found = batch_of(*codec, b"\xff\xff\xff\xff\x0fgarbage that is no stream")
            .records()
            .unwrap_err();
        assert!(matches!(found, BatchError::Compressed { .. }), "{codec}: {found}");
    }
}

#[test]
fn a_snappy_block_that_claims_too_much() {
    // 60 MiB from three bytes.
    let found = batch_of(Compression::Snappy, &[0x80, 0x80, 0x80, 0x1e, 0, 0, 0])
        .records()
        .unwrap_err();
    assert!(matches!(found, BatchError::Compressed { .. }), "{found}");
}

#[test]
fn snappy_without_framing_is_read() {
    let mut plain = BatchBuilder::new();
    plain
        .push(NewRecord {
            value: Some(b"raw"),
            ..NewRecord::default()
        })
        .unwrap();
    let records = plain.build().unwrap().slice(HEADER_BYTES..);
    let raw = snap::raw::Encoder::new().compress_vec(&records).unwrap();
    assert_eq!(
        batch_of(Compression::Snappy, &raw).records().unwrap().bytes(),
        &records
    );
}

#[test]
fn large_batches_survive_every_codec() {
    let value: Vec<u8> = (0..300_000u32).map(|number| (number / 7) as u8).collect();
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new().compression(codec);
        builder
            .push(NewRecord {
                value: Some(&value),
                ..NewRecord::default()
            })
            .unwrap();
        let batch = BatchView::read(builder.build().unwrap()).unwrap();
        let set = batch.records().unwrap();
        let record = set.shared().next().unwrap().unwrap();
        assert_eq!(record.value, Some(Bytes::from(value.clone())), "{codec}");
    }
}
