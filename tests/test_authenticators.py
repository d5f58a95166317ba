"""Logins checked by twisted.cred."""

import pytest
from twisted.cred.checkers import (
    FilePasswordDB,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tickstorm.authenticators import CheckerAuthenticator, with_files_read
from tickstorm.credentials import IAuthenticator, Peer, SharedCredentials, User
from tickstorm.errors import ConfigError
from tickstorm.messages import Login

PEER = Peer("10.0.0.1")
UNKNOWN = UnauthorizedLogin("no checker knows this name and password")


def login(username="alice", password="open-sesame"):
    return Login(username, password)


class Checker:
    """Answers each request with what it was made with, and keeps who asked."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def requestAvatarId(self, credentials):
        self.asked.append((credentials.username, credentials.password))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def outcome(deferred):
    """What a Deferred has come to, an error as itself; nothing while it waits."""
    results = []
    deferred.addBoth(results.append)
    return [each.value if isinstance(each, Failure) else each for each in results]


def ask(*checkers, **who):
    return outcome(CheckerAuthenticator(checkers).authenticate(login(**who), PEER))


def is_unknown(results):
    return [(type(each), str(each)) for each in results] == [(UnauthorizedLogin, str(UNKNOWN))]


@pytest.mark.parametrize(
    "authenticator", [CheckerAuthenticator([]), SharedCredentials("alice", "open-sesame")]
)
def test_each_is_an_authenticator(authenticator):
    assert verifyObject(IAuthenticator, authenticator)


def test_without_a_checker_nobody_comes_in():
    assert is_unknown(ask())


@pytest.mark.parametrize("answer", [b"alice-7", succeed(b"alice-7")], ids=["now", "deferred"])
def test_the_user_has_the_name_that_the_checker_gives(answer):
    assert ask(Checker(answer)) == [User("alice-7")]


def test_a_checker_that_gives_no_name_leaves_the_login_its_own():
    assert ask(Checker(())) == [User("alice")]


def test_the_first_that_knows_somebody_decides():
    checkers = [Checker(UnauthorizedLogin()), Checker(b"second"), Checker(b"third")]
    assert ask(*checkers) == [User("second")]
    asked = [(b"alice", b"open-sesame")]
    assert [checker.asked for checker in checkers] == [asked, asked, []]


@pytest.mark.parametrize(
    "refusal",
    [UnauthorizedLogin("no"), fail(UnauthorizedLogin("no"))],
    ids=["raised", "deferred"],
)
def test_one_that_knows_nobody_leaves_it_to_the_next(refusal):
    assert ask(Checker(refusal), Checker(b"alice")) == [User("alice")]


def test_if_none_knows_somebody_it_is_not_said_why():
    assert is_unknown(ask(Checker(UnauthorizedLogin("bad name")), Checker(UnauthorizedLogin())))


@pytest.mark.parametrize("error", [LoginFailed("locked"), RuntimeError("the disk is gone")])
def test_another_failure_is_nobodys_to_swallow(error):
    after = Checker(b"alice")
    assert ask(Checker(error), after) == [error]
    assert after.asked == []


def test_an_answer_may_come_later():
    first, second = Deferred(), Deferred()
    results = []
    asked = CheckerAuthenticator([Checker(first), Checker(second)]).authenticate(login(), PEER)
    asked.addBoth(results.append)
    first.errback(UnauthorizedLogin())
    assert results == []
    second.callback(b"alice")
    assert results == [User("alice")]


def test_who_no_longer_waits_cancels_the_question():
    cancelled = []
    asked = CheckerAuthenticator([Checker(Deferred(cancelled.append))]).authenticate(login(), PEER)
    asked.addErrback(lambda _: None)
    asked.cancel()
    assert len(cancelled) == 1


def test_names_and_passwords_are_utf_8():
    checker = Checker("zoë".encode())
    assert ask(checker, password="pässwörd") == [User("zoë")]
    assert checker.asked == [(b"alice", "pässwörd".encode())]


def test_a_name_that_is_not_utf_8_is_a_name_all_the_same():
    (result,) = ask(Checker(b"zo\xeb"))
    assert isinstance(result, User)


# Twisted's own checkers.


def test_a_table_in_memory():
    table = InMemoryUsernamePasswordDatabaseDontUse(alice=b"open-sesame")
    assert ask(table) == [User("alice")]
    assert is_unknown(ask(table, password="close-sesame"))
    assert is_unknown(ask(table, username="bob"))


def test_a_file(tmp_path):
    (tmp_path / "passwords").write_bytes("alice:open-sesame\nbob:pässwörd\n".encode())
    file = FilePasswordDB(str(tmp_path / "passwords"))
    assert ask(file) == [User("alice")]
    assert ask(file, username="bob", password="pässwörd") == [User("bob")]
    assert is_unknown(ask(file, username="carol"))


def test_a_table_of_text_as_the_command_line_makes_it():
    table = InMemoryUsernamePasswordDatabaseDontUse()
    table.addUser("alice", "open-sesame")
    assert ask(table) == [User("alice")]


# Files that are read once.


def file_checkers(path, contents):
    path.write_bytes(contents)
    return with_files_read([FilePasswordDB(str(path))])


def test_a_file_counts_as_it_was_when_it_was_read(tmp_path):
    path = tmp_path / "passwords"
    lines = "# who may\n\nalice:open-sesame\r\nbob:pässwörd:of him\nalice:another\n"
    checkers = file_checkers(path, lines.encode())
    assert all(verifyObject(ICredentialsChecker, checker) for checker in checkers)
    path.unlink()
    assert ask(*checkers) == [User("alice")]
    assert ask(*checkers, username="bob", password="pässwörd") == [User("bob")]
    for username, password in [("alice", "another"), ("carol", ""), ("bob", ""), ("# who may", "")]:
        assert is_unknown(ask(*checkers, username=username, password=password))


def test_other_checkers_stay_what_they_are(tmp_path):
    table = InMemoryUsernamePasswordDatabaseDontUse(carol=b"sesame")
    (tmp_path / "passwords").write_text("alice:open-sesame\n")
    read, same = with_files_read([FilePasswordDB(str(tmp_path / "passwords")), table])
    assert same is table
    assert ask(read, same, username="carol", password="sesame") == [User("carol")]


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (None, "--auth: there is no file {path}"),
        (b"", "--auth: {path} has nobody in it"),
        (b"# nobody\n\n", "--auth: {path} has nobody in it"),
        (b"alice:open-sesame\nbob\n", "--auth: {path}, line 2: it is not NAME:PASSWORD"),
        (b":open-sesame\n", "--auth: {path}, line 1: it is not NAME:PASSWORD"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path, contents, reason):
    path = tmp_path / "passwords"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ConfigError) as caught:
        with_files_read([FilePasswordDB(str(path))])
    assert str(caught.value) == reason.format(path=path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        with_files_read([FilePasswordDB(str(tmp_path))])
