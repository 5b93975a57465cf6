//! One compiler: manifests, images and the workflow use the version in `rust-toolchain.toml`. Also the profiles and
//! features of builds.

use std::process::Command;

fn read(name: &str) -> String {
    std::fs::read_to_string(tests::root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The pinned version, e.g. `1.95.0`.
fn pinned() -> String {
    let file = read("rust-toolchain.toml");
    let version = file.strip_prefix("[toolchain]\nchannel = \"").and_then(|rest| rest.strip_suffix("\"\n"));
    // With components or a profile, rustup would download what is missing.
    version.unwrap_or_else(|| panic!("it names a channel and nothing else: {file}")).to_owned()
}

#[test]
fn every_place_that_names_a_compiler_names_the_pinned_one() {
    let version = pinned();
    assert_eq!(version.split('.').count(), 3, "an exact version: {version}");
    let minor = version.rsplit_once('.').expect("three parts").0;
    let manifest = read("Cargo.toml");
    assert!(manifest.lines().any(|line| line == format!("rust-version = \"{minor}\"")), "Cargo.toml: {minor}");
    let mut images = 0;
    for name in ["deploy/deploy.yml", "deploy/Dockerfile"] {
        for line in read(name).lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some(tag) = line.split(" rust:").nth(1).or_else(|| line.split("FROM rust:").nth(1)) else { continue };
            let of_image = tag.split(['-', '@']).next().unwrap_or_default();
            assert!([version.as_str(), minor].contains(&of_image), "{name}: {line}");
            images += 1;
        }
    }
    assert_eq!(images, 2, "both images are read");
}

/// Every script that calls cargo finds the pinned compiler under rustup's name for it.
#[test]
fn every_script_that_calls_cargo_looks_for_the_pinned_compiler() {
    let mut calling = 0;
    for entry in std::fs::read_dir(tests::root().join("scripts")).expect("there") {
        let path = entry.expect("listed").path();
        let name = format!("scripts/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.extension().is_none_or(|extension| extension != "sh") || name == "scripts/toolchain.sh" {
            continue;
        }
        let text = read(&name);
        let calls = |line: &str| {
            let line = line.trim_start();
            !line.starts_with('#') && ["cargo ", "rustc ", "(cargo ", "(rustc "].iter().any(|word| line.contains(word))
        };
        if text.lines().any(calls) {
            assert!(text.lines().any(|line| line == ". scripts/toolchain.sh"), "{name} does not source toolchain.sh");
            calling += 1;
        }
    }
    assert!(calling >= 7, "scripts are read: {calling}");
    let makefile = read("Makefile");
    for line in makefile.lines().filter(|line| line.starts_with('\t') && line.contains("$(CARGO)")) {
        assert!(line.starts_with("\t. scripts/toolchain.sh && "), "Makefile: {line}");
    }
}

/// The packages that the program is built from with these arguments.
fn packages(arguments: &[&str]) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        "--locked",
        "--offline",
        "--package",
        "bio-mcp",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ]);
    let output = cargo.args(arguments).current_dir(tests::root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("names are text");
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Crates for AWS, Lambda and OpenTelemetry are slow to build: only programs that use them depend on them.
#[test]
fn a_program_without_features_has_none_of_their_crates() {
    let starts = ["aws-", "aws_", "lambda", "opentelemetry", "tracing-opentelemetry", "prost", "regex"];
    let is_of_a_feature = |name: &&String| starts.iter().any(|start| name.starts_with(start));
    let without = packages(&["--no-default-features"]);
    assert!(without.len() > 100 && without.iter().any(|name| name == "sqlx"), "the tree is read: {without:?}");
    assert_eq!(without.iter().filter(is_of_a_feature).collect::<Vec<_>>(), Vec::<&String>::new());
    let installed = packages(&[]);
    for name in ["aws-sdk-s3", "aws-sdk-sqs", "aws-sdk-dynamodb", "aws-sdk-secretsmanager", "opentelemetry-otlp"] {
        assert!(installed.iter().any(|one| one == name), "what users install has {name}");
    }
}

/// The cargo arguments of `scripts/build.sh` in an environment with only these variables.
fn build_script(variables: &[(&str, &str)]) -> String {
    let mut bash = Command::new("bash");
    bash.args(["-c", "cargo() { echo \"cargo $*\"; }; export -f cargo; exec scripts/build.sh"]);
    bash.env_clear().env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
    let output = bash.current_dir(tests::root()).output().expect("bash runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("text");
    said.lines()
        .find(|line| line.starts_with("cargo "))
        .unwrap_or_else(|| panic!("no call of cargo: {said}"))
        .to_owned()
}

#[test]
fn the_demo_is_built_with_features_only_where_they_are_asked_for_or_configured() {
    let of_one_machine: [&[(&str, &str)]; 3] = [
        &[],
        &[("BIO_MCP_ARCHIVE_BUCKET", "file:///srv/archive"), ("BIO_MCP_JOBS_QUEUE_URL", "")],
        &[("BIO_MCP_DATABASE_URL_SECRET_ARN", ""), ("BIO_MCP_DATABASE_URL", "postgres://me@host/db")],
    ];
    for variables in of_one_machine {
        let call = build_script(variables);
        assert!(
            call.starts_with("cargo build --release --locked ") && call.contains(" --no-default-features"),
            "{call}"
        );
        assert!(!call.contains(" --features"), "{variables:?}: {call}");
    }
    for variable in [
        ("FEATURES", "aws"),
        ("BIO_MCP_ARCHIVE_BUCKET", "a-bucket"),
        ("BIO_MCP_JOBS_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/jobs"),
        ("BIO_MCP_LIMITS_TABLE", "limits"),
        ("BIO_MCP_SETTINGS", r#"{"BIO_MCP_LIMITS_TABLE": "limits"}"#),
        ("BIO_MCP_SETTINGS_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:1:secret:settings"),
    ] {
        let call = build_script(&[variable]);
        assert!(call.contains(" --features aws --quiet"), "{variable:?}: {call}");
    }
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    assert!(build_script(&[collector]).contains(" --features otlp --quiet"));
    assert!(build_script(&[collector, ("BIO_MCP_LIMITS_TABLE", "limits")]).contains(" --features aws,otlp --quiet"));
}

/// The lines of a table of the root manifest.
fn table(name: &str) -> Vec<String> {
    let manifest = read("Cargo.toml");
    let lines = manifest.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    lines.take_while(|line| !line.starts_with('[')).map(str::to_owned).collect()
}

/// A demo should build fast; released programs are built with whole-program optimisation, by whatever packs them.
#[test]
fn what_ships_is_built_with_the_profile_dist() {
    let has = |name: &str, line: &str| table(name).iter().any(|one| one == line);
    assert!(has("profile.release", "lto = \"off\""), "a demo does not wait for the linker");
    assert!(has("profile.dist", "lto = \"fat\"") && has("profile.dist", "codegen-units = 1"));
    assert!(has("profile.dist", "inherits = \"release\"") && has("profile.release", "strip = true"));
    assert!(has("profile.function", "inherits = \"dist\""));
    assert!(has("profile.dist", "opt-level = 3") && has("profile.function", "opt-level = \"s\""));
    let unoptimised: Vec<_> = table("profile.release.package")
        .into_iter()
        .filter_map(|line| line.strip_suffix(" = { opt-level = 0 }").map(str::to_owned))
        .collect();
    assert!(!unoptimised.is_empty());
    for name in unoptimised {
        assert!(has("profile.dist.package", &format!("{name} = {{ opt-level = 3 }}")), "{name} ships as for a demo");
    }
    let image = read("deploy/Dockerfile");
    assert!(image.contains("--profile dist ") && image.contains("/target/dist/bio-mcp"));
    assert!(read("scripts/package.sh").contains("cargo build --profile function "));
    assert!(read("scripts/bench.sh").contains("${BENCH_PROFILE:-dist}"), "what is measured is what ships");
}

/// The crates of PubMed's and UniProt's formats are meant for other projects too: their packages must be self-contained.
#[test]
fn the_crates_for_others_can_be_packaged() {
    let to = tempfile::tempdir().expect("a directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["package", "--locked", "--offline", "--no-verify", "--allow-dirty", "--target-dir"]).arg(to.path());
    cargo.args(["--package", "bio-mcp-core", "--package", "bio-mcp-pubmed", "--package", "bio-mcp-uniprot"]);
    let output = cargo.current_dir(tests::root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["bio-mcp-core-0.1.0.crate", "bio-mcp-pubmed-0.1.0.crate", "bio-mcp-uniprot-0.1.0.crate"] {
        assert!(to.path().join("package").join(name).is_file(), "{name}");
    }
}
