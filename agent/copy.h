#pragma once

/* Copies what is below the folder `from` into the folder `to`: files, folders and links with their
 * owners, modes and times. Device nodes, fifos and sockets are left out. Follows no link. */
int copy_tree(int from, int to);
