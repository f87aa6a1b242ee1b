from metalff.cli import main

main()
