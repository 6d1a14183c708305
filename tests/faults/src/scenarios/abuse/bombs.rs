//! Messages of at most a hundred kilobytes that inflate to very much more.

use std::fmt;
use std::io::{Read as _, repeat};
use std::sync::Arc;

use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// What a bomb of gzip inflates to: deflate makes nothing more than about a thousand times smaller.
const GZIP_INFLATED: u64 = 100 << 20;
/// What a bomb of zstd inflates to, which knows no such bound.
const ZSTD_INFLATED: u64 = 1 << 30;
/// A message.
#[derive(Debug, Clone)]
pub(super) struct Bomb {
    /// The name of what inflates it.
    pub(super) encoding: &'static str,
    /// As it is sent.
    pub(super) bytes: Arc<[u8]>,
    inflated: u64,
}

/// One of each kind.
#[derive(Debug, Clone)]
pub(super) struct Bombs {
    pub(super) gzip: Bomb,
    pub(super) zstd: Bomb,
}

impl Bombs {
    pub(super) fn make() -> anyhow::Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::copy(&mut repeat(0).take(GZIP_INFLATED), &mut encoder)?;
        let gzip = Bomb { encoding: "gzip", bytes: encoder.finish()?.into(), inflated: GZIP_INFLATED };
        let encoded = compress_to_vec(repeat(0).take(ZSTD_INFLATED), CompressionLevel::Fastest);
        let zstd = Bomb { encoding: "zstd", bytes: encoded.into(), inflated: ZSTD_INFLATED };
        Ok(Self { gzip, zstd })
    }
}

impl fmt::Display for Bomb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { encoding, bytes, inflated } = self;
        write!(formatter, "{encoding} {} KiB for {} MiB", bytes.len() >> 10, inflated >> 20)
    }
}

impl fmt::Display for Bombs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gzip, zstd } = self;
        write!(formatter, "{gzip}, {zstd}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::sink;

    use flate2::read::GzDecoder;
    use ruzstd::decoding::StreamingDecoder;

    /// A bomb that is refused as damaged would show nothing.
    #[test]
    fn bombs_are_small_and_inflate_to_what_they_say() {
        let Bombs { gzip, zstd } = Bombs::make().unwrap();
        let inflated = std::io::copy(&mut GzDecoder::new(&*gzip.bytes), &mut sink()).unwrap();
        assert_eq!(inflated, gzip.inflated);
        let inflated = std::io::copy(&mut StreamingDecoder::new(&*zstd.bytes).unwrap(), &mut sink()).unwrap();
        assert_eq!(inflated, zstd.inflated);
        assert!(gzip.bytes.len().max(zstd.bytes.len()) < 128 << 10);
    }
}
