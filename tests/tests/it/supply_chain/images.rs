//! Base images of containers.

use super::{has_digest, logical_lines, tracked};

/// Faults of a Dockerfile.
fn faults(text: &str) -> Vec<String> {
    let (mut faults, mut stages) = (Vec::new(), vec!["scratch".to_owned()]);
    for line in logical_lines(text) {
        let line = line.trim();
        if let Some(syntax) = line.strip_prefix('#').map(str::trim).and_then(|line| line.strip_prefix("syntax=")) {
            if !has_digest(syntax) {
                faults.push(format!("{line}: the reader of the file has no digest"));
            }
            continue;
        }
        let parts: Vec<&str> = line.split_whitespace().collect();
        let Some(instruction) = parts.first().map(|word| word.to_uppercase()) else { continue };
        let known = |stages: &[String], image: &str| {
            has_digest(image) || stages.iter().any(|stage| stage.eq_ignore_ascii_case(image))
        };
        match instruction.as_str() {
            "FROM" => {
                let image = parts[1..].iter().find(|part| !part.starts_with("--")).copied().unwrap_or_default();
                if !known(&stages, image) {
                    faults.push(format!("{line}: no digest"));
                }
                if let Some(at) = parts.iter().position(|part| part.eq_ignore_ascii_case("as")) {
                    stages.push((*parts.get(at + 1).unwrap_or(&"")).to_owned());
                }
            }
            "COPY" | "RUN" | "ADD" => {
                for from in parts.iter().flat_map(|part| part.split(',')).filter_map(|part| part.split_once("from=")) {
                    if !known(&stages, from.1) {
                        faults.push(format!("{line}: no digest"));
                    }
                }
                if instruction == "ADD" {
                    faults.push(format!("{line}: COPY fetches nothing and unpacks nothing"));
                }
                let tools = ["apt-get", "apt", "apk", "curl", "wget", "pip", "npm", "rustup"];
                if instruction == "RUN" && super::words(line).iter().any(|word| tools.contains(word)) {
                    faults.push(format!("{line}: it fetches something without a hash"));
                }
            }
            _ => {}
        }
    }
    faults
}

#[test]
fn every_base_is_named_by_digest() {
    let mut read = 0;
    for (name, text) in tracked() {
        let file = name.rsplit('/').next().unwrap_or_default();
        let is_one = ["Dockerfile", "Containerfile"].iter().any(|kind| file.starts_with(kind) || file.ends_with(kind));
        if !is_one || file.ends_with(".dockerignore") {
            continue;
        }
        assert_eq!(faults(&text), Vec::<String>::new(), "{name}");
        read += 1;
        for planted in [
            "FROM debian:bookworm-slim",
            "from debian AS other",
            "ARG BASE=debian:bookworm-slim\nFROM $BASE",
            "FROM --platform=linux/arm64 debian@sha256:abc",
            "COPY --from=nginx:latest /etc/nginx /etc/nginx",
            "RUN --mount=type=bind,from=debian:12,target=/x true",
            "ADD https://example.org/x.tar.gz /x",
            "RUN true && \\\n    apt-get install --yes curl",
            "# syntax=docker/dockerfile:1",
        ] {
            assert_ne!(faults(&format!("{text}\n{planted}\n")), Vec::<String>::new(), "{planted}");
        }
    }
    assert_eq!(read, 1);
}
