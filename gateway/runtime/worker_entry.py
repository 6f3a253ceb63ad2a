"""Process entry of a proxy worker: chooses between compiled and interpreted modules before any of them is imported."""

from gateway import compiled


def main() -> None:
    remark = compiled.use()
    from gateway.runtime.worker import main as work

    work(remark)


if __name__ == "__main__":
    main()
