"""Pages read as a browser reads them: that tags close in order, and what they refer to."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "path", "use", "image", "rect", "circle", "line", "input"}


class Reader(HTMLParser):
    """Checks that tags close in order; keeps text, links and sources."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.references, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.references += [value for key, value in attributes if key in ("href", "src", "xlink:href")]

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for key, value in attributes if key in ("href", "src", "xlink:href")]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
