//! `dyno env`, `dyno setup git` and `dyno doctor`: what has to be done once, and how one sees that it was.

use crate::heroku::Heroku;
use crate::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_set_up_by_two_commands_and_the_doctor_says_so() {
    let heroku = Heroku::new(Place::new());
    let (platform, address) = heroku.place.serve().await;
    let name = format!("http.https://{address}/.sslCAInfo");
    let doctor = "\"$DYNO\" doctor";
    let before = heroku.shell_line(doctor).await;
    before.ended_with(0, &["does not trust the platform", "dyno setup git"]);
    let setup = "\"$DYNO\" setup git";
    let first = heroku.shell_line(setup).await;
    first.ended_with(0, &["Set http.https://", "ca.pem", "To undo"]);
    let second = heroku.shell_line(setup).await;
    second.ended_with(0, &["ca.pem already"]);
    let set = heroku
        .shell_line(&format!("git config --global --get {name}"))
        .await;
    set.ended_with(0, &["ca.pem"]);
    let after = heroku.shell_line(doctor).await;
    after.ended_with(
        0,
        &["trusts the platform", "the Heroku CLI finds this platform"],
    );
    // git believes the certificate; the repository is another matter.
    let reached = heroku
        .shell_line(&format!("git ls-remote https://{address}/none.git"))
        .await;
    assert!(
        !reached.errors.contains("certificate"),
        "{}",
        reached.errors
    );
    platform.terminate().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authority_of_a_company_is_kept_beside_ours() {
    let heroku = Heroku::new(Place::new());
    let (platform, _) = heroku.place.serve().await;
    let company = heroku.place.path().join("company.pem");
    let pem = "-----BEGIN CERTIFICATE-----\nY29tcGFueQ==\n-----END CERTIFICATE-----\n";
    std::fs::write(&company, pem).unwrap();
    // A second eval in the same shell must not lose what the first has merged.
    let line = format!(
        "export NODE_EXTRA_CA_CERTS={0} GIT_SSL_CAINFO={0}; {1} {1} cat \"$NODE_EXTRA_CA_CERTS\" \"$GIT_SSL_CAINFO\"",
        company.display(),
        "eval \"$(\"$DYNO\" env)\";"
    );
    let said = heroku.shell_line(&line).await.succeeded();
    let ours = std::fs::read_to_string(heroku.place.path().join("ca.pem")).unwrap();
    assert_eq!(said.output.matches("Y29tcGFueQ==").count(), 2);
    assert_eq!(said.output.matches(ours.lines().nth(1).unwrap()).count(), 2);
    platform.terminate().await.succeeded();
}
