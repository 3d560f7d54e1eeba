"""Settings of another type, and a life that nobody awaits."""

from datetime import timedelta

from unbroken import Unbroken


def settings() -> None:
    Unbroken()  # refused: argument
    Unbroken(5)  # refused: argument
    Unbroken("sqlite://", True)  # refused: argument
    Unbroken("sqlite://", lease=20)  # refused: argument
    Unbroken("sqlite://", suspend_after=10)  # refused: argument
    Unbroken("sqlite://", thread=4)  # refused: argument


async def life(app: Unbroken) -> None:
    with app:  # refused: attribute
        pass
    await app.start("now")  # refused: argument
    await app.stop(5)  # refused: argument
    await app.serve(grace=5)  # refused: argument
    app.start()  # refused: await
    app.stop(timedelta(seconds=5))  # refused: await
    app.serve()  # refused: await
    app.subscribe(lambda: None)  # refused: argument
