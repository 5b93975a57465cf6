//! Certificates as PEM or on one line, as a prompt or a variable of a deployment contains them.

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Length of the base64 of 40 bytes: anything shorter is not a certificate.
const MIN_BLOCK_CHARS: usize = 56;

/// Certificates in PEM, with lines of 64 characters, from: PEM; PEM whose line ends became spaces, `\n` in two
/// characters, or nothing; or the base64 of a single certificate. None for anything else.
pub fn certificates(text: &str) -> Option<String> {
    let text = text.replace("\\r", "").replace("\\n", "\n");
    let mut pem = String::new();
    let mut rest = text.trim();
    if !rest.contains(BEGIN) {
        write_one(&mut pem, rest)?;
        return Some(pem);
    }
    // Text between certificates, as in bundles, only names them.
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (body, after) = after.split_once(END)?;
        write_one(&mut pem, body)?;
        rest = after;
    }
    Some(pem)
}

fn write_one(pem: &mut String, body: &str) -> Option<()> {
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = body.trim_end_matches('=');
    let is_base64 = body.len() >= MIN_BLOCK_CHARS
        && body.len().is_multiple_of(4)
        && body.len() - digits.len() <= 2
        && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    // A certificate is a DER sequence, whose base64 starts with M.
    if !is_base64 || !body.starts_with('M') {
        return None;
    }
    pem.push_str(BEGIN);
    pem.push('\n');
    for line in body.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(END);
    pem.push('\n');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_on_one_line_is_the_same() {
        let body = "MII".to_owned() + &"A".repeat(125);
        let pem = format!("{BEGIN}\n{}\n{}\n{END}\n", &body[..64], &body[64..]);
        let two = format!("{pem}{pem}");
        for written in [
            pem.clone(),
            pem.replace('\n', "\\n"),
            pem.replace('\n', " "),
            pem.replace('\n', ""),
            pem.replace('\n', "\r\n"),
            body.clone(),
            format!("Amazon RDS eu-central-1\n{pem}"),
        ] {
            assert_eq!(certificates(&written).as_deref(), Some(pem.as_str()), "{written}");
        }
        assert_eq!(certificates(&two.replace('\n', " ")), Some(two));
        for none in ["", "a path.pem", &pem[..100], &format!("{BEGIN}{END}"), &body.replace('A', "*"), &"x".repeat(64)]
        {
            assert_eq!(certificates(none), None, "{none}");
        }
    }
}
