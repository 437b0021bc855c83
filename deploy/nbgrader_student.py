"""nbgrader's settings for everybody on a hub: copy it to /etc/jupyter/nbgrader_config.py."""

c = get_config()  # noqa: F821 (nbgrader defines it for this file)
c.CourseDirectory.course_id = "quantlab"
c.Exchange.root = "/srv/nbgrader/exchange"
