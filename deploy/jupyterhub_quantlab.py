"""The part of a JupyterHub's configuration that this course needs: who is a student, who grades, what a server may ask.

Copy it to /opt/tljh/config/jupyterhub_config.d/ (The Littlest JupyterHub), or load it from a jupyterhub_config.py:

    load_subconfig("/path/to/quantlab/deploy/jupyterhub_quantlab.py")
"""

STUDENTS = ["ana", "bob"]
INSTRUCTORS = ["prof"]

c = get_config()  # noqa: F821 (JupyterHub defines it for this file)
# nbgrader finds courses and roles by the names of these groups.
c.JupyterHub.load_groups = {
    "formgrade-quantlab": {"users": INSTRUCTORS},
    "nbgrader-quantlab": {"users": STUDENTS},
}
# nbgrader's pages run in each user's server and ask the hub for groups and services, which no server may by default.
c.JupyterHub.load_roles = [
    {
        "name": "server",
        "scopes": [
            *("access:servers!user", "users:activity!user", "read:users:activity!user", "self"),
            *("list:groups", "read:groups", "list:services"),
        ],
    }
]
