//! The CI workflow: actions are pinned by digest, and the job that may assume the role compiles nothing.

use std::collections::BTreeMap;

use super::{has_digest, has_extension, is_hex, read, tracked, words};

/// Commands that a job with the role must not call.
const COMPILES: [&str; 14] = [
    "make", "cargo", "rustc", "rustup", "gcc", "cc", "node", "npm", "npx", "pip", "python3", "docker", "scripts", "sam",
];

/// The jobs of a workflow by name: the lines below `jobs:`, where names are indented by two.
fn jobs(text: &str) -> BTreeMap<String, Vec<&str>> {
    let mut jobs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines().skip_while(|line| *line != "jobs:").skip(1) {
        if line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':') && !line.contains('#') {
            line.trim().trim_end_matches(':').clone_into(&mut name);
        }
        if !line.trim_start().starts_with('#') {
            jobs.entry(name.clone()).or_default().push(line);
        }
    }
    jobs
}

/// The value of a key, also of a list item's first key, without its comment.
fn value<'a>(line: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    let rest = line.trim_start().trim_start_matches("- ").trim_start();
    let rest = rest.strip_prefix(key)?.trim_start().strip_prefix(':')?;
    let (value, comment) = rest.split_once(" #").unwrap_or((rest, ""));
    Some((value.trim().trim_matches(['"', '\'']), comment.trim()))
}

fn is_pinned(action: &str) -> bool {
    let by_commit = |(name, commit): (&str, &str)| name.contains('/') && is_hex(commit, 40);
    action.starts_with("./") || has_digest(action) || action.split_once('@').is_some_and(by_commit)
}

fn faults_of_job(name: &str, lines: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let at = |what: &str| lines.iter().position(|line| line.contains(what));
    let checkouts = lines.iter().filter(|line| line.contains("actions/checkout")).count();
    if lines.iter().filter(|line| line.contains("persist-credentials: false")).count() != checkouts {
        faults.push(format!("{name}: a checkout leaves its token"));
    }
    let trusted = ["id-token", "role-to-assume", "secrets.", "environment:", "write-all", ": write"];
    if !trusted.iter().any(|word| at(word).is_some()) {
        if at("permissions:").is_none() || at("contents: read").is_none() {
            faults.push(format!("{name}: it does not say that it only reads"));
        }
        return faults;
    }
    for line in lines {
        let names = ["uses", "name", "runs-on"].iter().any(|key| value(line, key).is_some());
        let called = words(line).into_iter().find(|word| COMPILES.contains(word));
        if let (Some(called), false) = (called, names) {
            faults.push(format!("{name} may assume the role and calls {called}"));
        }
    }
    let role = at("configure-aws-credentials").unwrap_or(0);
    let before = |what: &str| at(what).is_some_and(|line| line < role);
    if !(before("actions/download-artifact@") && before("needs.build.outputs.sums") && before("sha256sum *.zip")) {
        faults.push(format!("{name}: what was built is not compared before the role is assumed"));
    }
    if !lines.iter().any(|line| line.trim() == "needs: [audit, build]") {
        faults.push(format!("{name}: it does not wait for the audit and the build"));
    }
    faults
}

/// Faults of a workflow.
fn faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.lines().any(|line| line == "permissions: {}") {
        faults.push("permissions are not taken from all jobs first".to_owned());
    }
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if let Some((action, tag)) = value(line, "uses")
            && !(is_pinned(action) && (tag.starts_with('v') || action.starts_with("./")))
        {
            faults.push(format!("{action} is not named by its commit, with its tag beside it"));
        }
        if line.contains("uses") && value(line, "uses").is_none() {
            faults.push(format!("{line}: an action that cannot be read"));
        }
        for key in ["container", "image"] {
            if let Some((image, _)) = value(line, key)
                && !(image.is_empty() || has_digest(image))
            {
                faults.push(format!("{image} has no digest"));
            }
        }
        // An expression in a command is inserted as text (script injection).
        if line.contains("${{") && (value(line, "run").is_some() || !line.contains(": ${{")) {
            faults.push(format!("{line}: an expression in a command"));
        }
        if line.contains("pull_request_target") || line.contains("workflow_run") {
            faults.push(format!("{line}: others would run it"));
        }
        if line.contains("terraform") && line.contains(" init ") && !line.contains("-lockfile=readonly") {
            faults.push("providers without the lock file".to_owned());
        }
    }
    for (name, lines) in jobs(text) {
        faults.extend(faults_of_job(&name, &lines));
    }
    faults
}

#[test]
fn every_workflow_names_digests_and_the_job_with_the_role_compiles_nothing() {
    let mut found = 0;
    for (name, text) in tracked() {
        let yaml = has_extension(&name, "yml") || has_extension(&name, "yaml");
        if yaml && text.contains("runs-on") {
            assert_eq!(faults(&text), Vec::<String>::new(), "{name}");
            found += 1;
        }
    }
    assert!(found > 0, "the workflow is read");
    let names: Vec<String> = jobs(&read("deploy/deploy.yml")).into_keys().collect();
    assert_eq!(names, ["audit", "build", "deploy"]);
}

#[test]
fn what_is_planted_into_the_workflow_is_found() {
    let text = read("deploy/deploy.yml");
    let checkout = "actions/checkout@93cb6efe18208431cddfb8368fd83d5badbf9bfd # v5.0.1";
    for (from, to) in [
        (checkout, "actions/checkout@v5"),
        (checkout, "actions/checkout@93cb6ef"),
        (checkout, "\"actions/checkout@main\""),
        (checkout, "actions/checkout@93cb6efe18208431cddfb8368fd83d5badbf9bfd"),
        ("      - uses: actions/upload", "      - { uses: actions/upload"),
        ("@sha256:28afaeb8445f2a2e7d878bd34ed39ba02bb517efb29986188cbd59b7cf4f2fdf", ""),
        ("permissions: {}", "permissions:\n  id-token: write"),
        ("      contents: read\n    steps:", "      id-token: write\n    steps:"),
        ("    permissions:\n      contents: read\n    outputs:", "    outputs:"),
        ("          persist-credentials: false\n", ""),
        ("    needs: [audit, build]\n", "    needs: build\n"),
        (
            "      - run: terraform -chdir=\"$TERRAFORM_DIR\" plan",
            "      - run: make functions\n      - run: terraform plan",
        ),
        ("        run: cd target/lambda", "        run: cargo build && cd target/lambda"),
        ("test \"$(sha256sum *.zip)\" = \"$SUMS\"", "true"),
        ("          SUMS: ${{ needs.build.outputs.sums }}\n", ""),
        (" -lockfile=readonly", ""),
        ("cd target/lambda && test", "cd ${{ vars.DIRECTORY }} && test"),
        ("  workflow_dispatch:", "  pull_request_target:"),
    ] {
        assert!(text.contains(from), "{from} is not there");
        assert_ne!(faults(&text.replacen(from, to, 1)), Vec::<String>::new(), "{from} → {to}");
    }
}
