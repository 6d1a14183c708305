//! When a certificate expires: the one field of it that the TLS library does not tell.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Two-digit years from here on lie in the twentieth century (RFC 5280, 4.1.2.5.1).
const TWENTIETH_CENTURY: i16 = 50;

/// The end of a certificate's validity (RFC 5280, 4.1.2.5); `None` = it cannot be read.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let mut signed = Elements(Elements(certificate).expect(SEQUENCE)?);
    let mut fields = Elements(signed.expect(SEQUENCE)?);
    // Version (which may be left out), serial number, algorithm, issuer, validity.
    let (tag, _) = fields.next()?;
    if tag == VERSION {
        fields.next()?;
    }
    fields.next()?;
    fields.next()?;
    let mut validity = Elements(fields.expect(SEQUENCE)?);
    validity.next()?;
    let (tag, text) = validity.next()?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (year + if year >= TWENTIETH_CENTURY { 1_900 } else { 2_000 }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let time = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    Some(TimeZone::UTC.to_zoned(time).ok()?.timestamp())
}

/// The elements of DER that follow each other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn expect(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == expected).map(|(_, content)| content)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match usize::from(*first) {
            short @ 0..=0x7f => (short, rest),
            // The length of the length, of which certificates need little.
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 7, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_both_forms_of_time_is_read() {
        assert_eq!(not_after(&certificate(2049)), Some("2049-07-31T00:00:00Z".parse().unwrap()));
        assert_eq!(not_after(&certificate(2051)), Some("2051-07-31T00:00:00Z".parse().unwrap()));
        assert_eq!(time(UTC_TIME, "500101000000Z"), Some("1950-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn damaged_bytes_are_no_certificate() {
        let whole = certificate(2049);
        for length in 0..whole.len().min(150) {
            assert_eq!(not_after(&whole[..length]), None);
        }
        assert_eq!(not_after(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(time(UTC_TIME, "491301000000Z"), None);
    }
}
