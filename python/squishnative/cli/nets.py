"""`squish nets`."""

from squishnative import nets as shipped
from squishnative.net import load
from squishnative.tables import format_table, shape_text


def nets() -> None:
    """Lists the nets that come with the package.

    Their names stand for files wherever a net is wanted.

    squish nets
    squish infer imagenette-s photo.jpg
    """
    rows = []
    for name in shipped.names():
        with load(name) as net:
            model = net.model
            size = shape_text(model.input_shape)
            rows.append([name, f"{model.classes}", size, f"{model.file_bytes:,}"])
    print(format_table(["net", "classes", "input", "bytes"], rows))
